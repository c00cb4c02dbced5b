"""`python -m planardose`: the command line where the environment's `bin` is not on the PATH."""

from planardose.cli import main

if __name__ == "__main__":
    main()
