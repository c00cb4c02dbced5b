"""What a message tells the user to do where a header does not decide."""

HOW = {  # key of `config.Hand` -> what to write there, or instead
    "head_order": " (anterior_first or posterior_first)",
    "flip_posterior": " (true mirrors it, false keeps it)",
    "windows_kev": ", e.g. [[187.2, 228.8]]",
    "seconds_per_row": ", or give the images as NPZ + JSON with it",
}


def decide(key: str, name: str) -> str:
    """Advice to give `name` by hand.

    `key` is the config key of the time point's decisions (``patients.P01.t24``); empty for images of no time point, as
    a source for `calibrate`, which has an option for the order of the heads only.
    """
    if key:
        return f"decide with {key}.{name}{HOW[name]}"
    if name == "head_order":
        return f"decide with --head-order{HOW[name]}"
    return f"give the images as NPZ + JSON with {name}"
