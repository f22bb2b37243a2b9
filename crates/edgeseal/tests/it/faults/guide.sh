#!/usr/bin/env bash
# Carries out docs/guides/high-availability.md in a namespace of its own, which guide.rs makes. A machine of the guide is
# a namespace with its address, and with files of its own in the directories that the guide writes to.
#
#   $BLOCKS/SECTION.NUMBER   the blocks of the guide
#   $EDGESEAL                the binary
#   $UNIT                    the unit that starts it
set -euo pipefail

declare -A address=([pg1]=10.0.0.1 [pg2]=10.0.0.2 [pg3]=10.0.0.3 [edge1]=10.0.0.11 [edge2]=10.0.0.12 [lb]=10.0.0.20)
# The first process of each machine.
declare -A first=()
databases=(pg1 pg2 pg3) edges=(edge1 edge2)
disk=$BLOCKS/disk
block() { cat "$BLOCKS/$1"; }

# What the commands of the guide find on a machine instead of Debian's: everything is installed, there is no service
# manager, and the watchdog is a pipe.
stubs() {
  apt-get() { :; }
  modprobe() {
    mkfifo -m 600 /run/watchdog
    setsid sh -c 'exec 3<>/run/watchdog; exec cat <&3' >/dev/null 2>&1 &
  }
  udevadm() { chown postgres /run/watchdog; }
  systemctl() {
    case $1 in enable | reload) start "${!#}" >>"/run/${!#}.log" 2>&1 & esac
  }
  # Runs what a unit runs, as its user.
  start() {
    local unit=/lib/systemd/system/$1.service user command
    [[ $1 != edgeseal ]] || unit=$UNIT
    [[ $1 != haproxy ]] || exec setsid haproxy -db -f /etc/haproxy/haproxy.cfg
    user=$(sed -n 's/^User=//p' "$unit")
    set -a
    eval "$(sed -n 's/^Environment=\([A-Z_]*\)=\([^%]*\)$/\1=\2/p' "$unit")"
    [[ ! -e /etc/default/$1 ]] || . "/etc/default/$1"
    set +a
    command=$(sed -n 's/^ExecStart=//p' "$unit")
    export HOME
    HOME=$(getent passwd "$user" | cut -d: -f6)
    eval "exec setsid setpriv --reuid $user --regid $user --init-groups --inh-caps +net_bind_service \
      --ambient-caps +net_bind_service $command"
  }
}

# Prepares the directories of a machine, from inside of it.
directories() {
  local own=$disk/$1 it
  mkdir -p "$own/upper" "$own/work"
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=$own/upper,workdir=$own/work" /etc
  echo 'edgeseal:x:990:990::/var/lib/edgeseal:/usr/sbin/nologin' >>/etc/passwd
  echo 'edgeseal:x:990:' >>/etc/group
  mkdir -p /etc/patroni /etc/edgeseal /etc/haproxy /etc/modules-load.d /etc/udev/rules.d
  for it in /var/lib /run /usr/local/bin; do mount -t tmpfs -o mode=755 tmpfs "$it"; done
  mkdir -p /var/lib/etcd/default
  install -d -o postgres /var/lib/postgresql /run/postgresql
  install -d -o edgeseal -m 700 /var/lib/edgeseal
  chown -R etcd /var/lib/etcd
  touch /usr/local/bin/edgeseal
  mount --bind "$EDGESEAL" /usr/local/bin/edgeseal
}

machine() {
  local name=$1 holder
  unshare --net --mount --pid --fork --mount-proc --kill-child bash -euc \
    "$(declare -f directories); directories $name; touch $disk/$name.ready; exec sleep infinity" &
  holder=$!
  until [[ -e $disk/$name.ready ]]; do kill -0 $holder; sleep 0.1; done
  first[$name]=$(tr -d ' ' <"/proc/$holder/task/$holder/children")
  ip link add "to-$name" type veth peer name eth0 netns "${first[$name]}"
  ip link set "to-$name" master lan up
  nsenter --target "${first[$name]}" --net bash -euc \
    "ip link set lo up; ip link set eth0 up; ip address add ${address[$name]}/24 dev eth0"
}

# Runs commands on a machine. What they start must not hold the output.
on() {
  nsenter --target "${first[$1]}" --net --mount --pid bash -euc "$(declare -f stubs); stubs; cd /run; $2" </dev/null
}

# Writes a file of the guide to a machine, from standard input.
write() {
  nsenter --target "${first[$1]}" --mount bash -euc "cat >'$2'; chown ${3:-root} '$2'; chmod ${4:-644} '$2'"
}

# Repeats commands on a machine until a line of what they print matches.
until_on() {
  local since=$SECONDS said=
  while ((SECONDS < since + 240)); do
    if said=$(on "$1" "$2" 2>&1) && grep -Eq "$3" <<<"$said"; then echo "$said"; return; fi
    sleep 0.5
  done
  echo "on $1, not in time: $3: $said" >&2
  on "$1" 'tail -n 30 *.log' >&2
  return 1
}

etcd() {
  local name
  for name in "${databases[@]}"; do
    block 1.2 | sed -e "s/^ETCD_NAME=.*/ETCD_NAME=$name/" -e "/INITIAL_CLUSTER=/!s/10\.0\.0\.1/${address[$name]}/" |
      write "$name" /etc/default/etcd
    on "$name" "$(block 1.1; block 1.3 | grep systemctl)"
  done
  until_on pg1 "$(block 1.3 | grep -v systemctl)" 'is healthy'
}

certificates() {
  local name all="${databases[*]} ${edges[*]}"
  mkdir "$disk/ca"
  (cd "$disk/ca" && bash -euc "$(block 2.1)" 2>/dev/null)
  for name in "${databases[@]}"; do
    write "$name" /etc/patroni/server.pem postgres 600 <"$disk/ca/$name.pem"
    write "$name" /etc/patroni/server.key postgres 600 <"$disk/ca/$name.key"
  done
  for name in $all; do write "$name" /etc/edgeseal/database-ca.pem <"$disk/ca/ca.pem"; done
}

postgresql() {
  local name
  for name in "${databases[@]}"; do
    on "$name" "$(block 3.1)"
    block 3.2 | sed -e "s/^name: .*/name: $name/" -e "/hosts:/!s/10\.0\.0\.1:/${address[$name]}:/g" \
      -e 's|/dev/watchdog|/run/watchdog, driver: testing|' | write "$name" /etc/patroni/config.yml
    block 3.3 | write "$name" /etc/patroni/create-database postgres 700
    on "$name" "$(block 3.4 | grep -v patronictl)"
    until_on "$name" "$(block 3.4 | grep patronictl)" "$name.*(Leader|Sync Standby|Replica).*running"
  done
  until_on pg1 "$(block 3.4 | grep patronictl)" 'Sync Standby'
}

nodes() {
  local name
  on edge1 'edgeseal kek generate /etc/edgeseal/kek >/dev/null; chown edgeseal /etc/edgeseal/kek'
  on edge1 'cat /etc/edgeseal/kek' | write edge2 /etc/edgeseal/kek edgeseal 600
  for name in "${edges[@]}"; do
    { block 4.1; echo 'proxy_protocol_from = ["10.0.0.20"]'; } | sed "s/10\.0\.0\.11/${address[$name]}/" |
      write "$name" /etc/edgeseal/edgeseal.toml
    echo CHANGE-ME-1 | write "$name" /etc/edgeseal/database-password edgeseal 600
    on "$name" "$(block 4.2 | grep systemctl)"
    until_on "$name" "$(block 4.2 | grep -v systemctl | sed "s/10\.0\.0\.11/${address[$name]}/")" ready
  done
}

balancer() {
  block 5.1 | write lb /etc/haproxy/haproxy.cfg
  on lb "$(block 5.2)"
  on lb 'cd /etc/haproxy; setsid python3 -m http.server 8000 >/dev/null 2>&1 &'
}

# A certificate that is set through the balancer, and what visitors see.
deploy() {
  on edge1 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj '/CN=$1' \
    -addext subjectAltName=DNS:www.example.com -keyout key.pem -out cert.pem 2>/dev/null"
  until_on edge1 'EDGESEAL_ENDPOINT=http://10.0.0.20:7080 edgeseal cert set www.example.com --data /var/lib/edgeseal \
    --cert cert.pem --key key.pem --wait 20' 'proven at 2/2'
  on edge1 'cat cert.pem' | write lb /run/cert.pem
  until_on lb 'curl -sS --cacert cert.pem --resolve www.example.com:443:10.0.0.20 https://www.example.com/' haproxy.cfg
}

guide() {
  local name primary
  mkdir "$disk"
  mount -t tmpfs tmpfs "$disk"
  ip link set lo up
  ip link add lan type bridge
  ip link set lan up
  for name in "${databases[@]}" "${edges[@]}" lb; do machine "$name"; done
  etcd
  certificates
  postgresql
  nodes
  balancer
  until_on edge1 'EDGESEAL_ENDPOINT=http://10.0.0.20:7080 edgeseal domain add www.example.com \
    --data /var/lib/edgeseal --origin 10.0.0.20:8000' 'is online'
  deploy first
  kill -KILL "${first[pg1]}"
  deploy second
  until_on pg2 "$(block 3.4 | grep patronictl)" 'pg[23].*Leader'
}

export disk EDGESEAL UNIT
# The first process ends with the test, and everything with it.
exec 3<&0
{ cat <&3 >/dev/null; exit 1; } &
alive=$!
guide &
carried_out=$!
status=0
wait -n $alive $carried_out || status=$?
exit $status
