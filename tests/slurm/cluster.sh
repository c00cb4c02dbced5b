#!/bin/bash
# A real, throw-away Slurm cluster on one Debian host, for tests: one CPU node, one GPU node with two fake GPUs.
#
#   cluster.sh start | stop | status
#
# Needs root and the packages munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins. No systemd, no database.
# State, logs and pids live in SLURM_TEST_DIR (default ./.slurm-cluster); everything listens on 127.0.0.1.
# Each node is a slurmd in name spaces of its own, so that `hostname` inside a job is the node's name.
set -u -o pipefail

dir=${SLURM_TEST_DIR:-$PWD/.slurm-cluster}
etc=/etc/slurm # fixed: Snakemake's job step drops every SLURM_* variable, SLURM_CONF too, before it calls srun
mark="# written by planardose's tests/slurm/cluster.sh"
nodes="cpu1 gpu1"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH LC_ALL=C
unset SLURM_CONF

die() { echo "cluster.sh: $*" >&2; exit 1; }

# A pid file holds "pid start-time", so that a recycled pid is never taken for ours.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
pid_of() {
  local pid born
  read -r pid born 2>/dev/null < "$dir/pid/$1" || return 1
  [ -n "${born:-}" ] && [ "$(start_time "$pid")" = "$born" ] || return 1
  case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in Z*) return 1 ;; esac
  echo "$pid"
}

launch() { # launch NAME COMMAND...: in a session of its own
  local name=$1
  shift
  pid_of "$name" > /dev/null && return
  setsid "$@" > "$dir/log/$name.out" 2>&1 < /dev/null &
  echo "$! $(start_time $!)" > "$dir/pid/$name"
}

wait_for() { # wait_for SECONDS WHAT COMMAND...
  local tries=$(($1 * 5)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || die "$what did not come up; see $dir/log"
    sleep 0.2
  done
}

stop_one() {
  local pid target tries=50
  pid=$(pid_of "$1") || { rm -f "$dir/pid/$1"; return; }
  target=$pid # a node's recorded pid is unshare, which ignores SIGTERM while it waits: ask its child
  [ "$(cat "/proc/$pid/comm")" = unshare ] && target=$(cat "/proc/$pid/task/$pid/children")
  # shellcheck disable=SC2086
  kill $target 2>/dev/null
  while pid_of "$1" > /dev/null && [ $tries -gt 0 ]; do tries=$((tries - 1)); sleep 0.2; done
  pid=$(pid_of "$1") && kill -9 "$pid"
  rm -f "$dir/pid/$1"
}

put() { # put FILE: content on stdin; a file that is not ours is never replaced
  [ ! -e "$1" ] || grep -qF "$mark" "$1" || die "$1 exists and is not ours"
  { echo "$mark"; cat; } > "$1"
}

write_config() {
  local host
  host=$(uname -n)
  mkdir -p $etc "$dir/dev"
  put $etc/slurm.conf << END
ClusterName=planardose
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
# more CPUs and memory than the host has
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
# short periods: tests should not wait for the defaults of 30 and 60 s
SchedulerParameters=sched_interval=3,sched_min_interval=200000,bf_interval=3,batch_sched_delay=1
# finished jobs stay visible to squeue, which the executor asks for their state
MinJobAge=7200
KillWait=5
InactiveLimit=0
JobRequeue=1
GresTypes=gpu
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=DEFAULT State=UNKNOWN Sockets=1 CoresPerSocket=4 ThreadsPerCore=1 CPUs=4 RealMemory=32000
NodeName=cpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001
NodeName=gpu1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 Gres=gpu:2
PartitionName=DEFAULT State=UP DefMemPerCPU=500 DefaultTime=10 MaxTime=1440
PartitionName=cpu Nodes=cpu1 Default=YES
PartitionName=gpu Nodes=gpu1
END
  # device files, with the numbers of /dev/null, make Slurm set CUDA_VISIBLE_DEVICES; a bare count would not
  for n in 0 1; do [ -e "$dir/dev/nvidia$n" ] || mknod "$dir/dev/nvidia$n" c 1 3 || die "cannot make device files"; done
  put $etc/gres.conf << END
NodeName=gpu1 Name=gpu File=$dir/dev/nvidia[0-1]
END
}

start_munge() {
  munge -n > /dev/null 2>&1 && return # the host's own runs
  [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
  chown munge: /etc/munge/munge.key
  chmod 400 /etc/munge/munge.key
  mkdir -p /run/munge
  chown munge: /run/munge
  chmod 755 /run/munge
  launch munged setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged --foreground --force
  wait_for 10 munge munge -n
}

start_node() {
  mkdir -p "$dir/spool/$1"
  launch "node.$1" unshare --pid --fork --kill-child --mount-proc --uts \
    sh -c "hostname $1; exec slurmd -D -N $1"
}

node_ready() { pid_of "node.$1" > /dev/null && sinfo -h -n "$1" -o %T | grep -qE '^(idle|mixed|allocated)$'; }

case ${1:-} in
  start)
    [ "$(id -u)" = 0 ] || die "must be root"
    mkdir -p "$dir"/{pid,log,run,spool,state}
    chmod 755 "$dir"
    pid_of slurmctld > /dev/null || write_config
    start_munge
    launch slurmctld slurmctld -D -i
    wait_for 20 slurmctld scontrol ping
    for n in $nodes; do start_node "$n"; done
    for n in $nodes; do wait_for 30 "node $n" node_ready "$n"; done
    sinfo -o '%P %N %T %c cpus %m MB %G'
    ;;
  stop)
    mkdir -p "$dir/pid"
    pid_of slurmctld > /dev/null && timeout 10 scancel --user root
    for n in $nodes; do stop_one "node.$n"; done
    stop_one slurmctld
    stop_one munged
    ;;
  status)
    for n in slurmctld node.cpu1 node.gpu1; do pid_of $n > /dev/null || die "$n is not running"; done
    timeout 10 sinfo && timeout 10 squeue
    ;;
  *) die "start | stop | status" ;;
esac
