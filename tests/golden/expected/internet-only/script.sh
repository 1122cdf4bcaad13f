# Paste from here on into a shell (it needs bash, printf, base64). It starts nearly the same sandbox without claudebox:
# for looking around in it, not for leaving an agent alone in it. What a launch does besides:
#   - whatever it mounts where an agent can write, it mounts through descriptors. Here bwrap does so by name:
#     a link that an agent planted in the home or the project would be followed. Missing mount points stay behind.
#   - it watches over the mounts, ends the sandbox with itself, keeps a second session out, bounds the number of
#     processes (and memory, where a cgroup can be had).
#   - it connects the sandbox's network under rules (below): here there is no way out of it.
#   - into the sandbox's home it writes .claude.json.
bash /dev/fd/9 9<<'CLAUDEBOX'
for fd in /proc/self/fd/*; do fd=${fd##*/}; ((fd < 3 || fd == 255)) || exec {fd}<&-; done
(umask 077 && mkdir -p -- /home/ada/.claudebox/instances/0123456789abcdef/home) || exit 125
exec {made0}< <(printf %s <seccomp:123149a09ee8e8c9> | base64 -d)
exec {made1}< <(printf %s $'ada:x:1000:1000::/home/ada:/bin/bash\n')
exec {made2}< <(printf %s $'ada:x:1000:\n')
exec {made3}< <(printf %s $'lovelace\n')
exec {made4}< <(printf %s $'127.0.0.1 localhost lovelace\n::1 localhost ip6-localhost ip6-loopback\n')
exec {made5}< <(printf %s $'# Made by claudebox for this sandbox. `git config --global` writes to the home inside.\n[user]\n\tname = "Ada Example"\n[user]\n\temail = "ada@example.org"\n')
exec {made6}< <(printf %s $'nameserver 10.0.2.3\n')
exec {options}< <(printf '%s\0' \
  --unshare-user \
  --unshare-pid \
  --unshare-ipc \
  --unshare-uts \
  --unshare-cgroup \
  --unshare-net \
  --die-with-parent \
  --cap-drop ALL \
  --seccomp "$made0" \
  --ro-bind /usr /usr \
  --perms 0755 \
  --dir /etc \
  --symlink usr/bin /bin \
  --symlink usr/lib /lib \
  --symlink usr/lib64 /lib64 \
  --symlink /usr/lib/os /etc/os-release \
  --perms 0444 \
  --file "$made1" /etc/passwd \
  --perms 0444 \
  --file "$made2" /etc/group \
  --perms 0444 \
  --file "$made3" /etc/hostname \
  --perms 0444 \
  --file "$made4" /etc/hosts \
  --perms 0444 \
  --file "$made5" /etc/gitconfig \
  --perms 0444 \
  --file "$made6" /etc/resolv.conf \
  --proc /proc \
  --dev /dev \
  --perms 1777 \
  --size 2147483648 \
  --tmpfs /dev/shm \
  --perms 1777 \
  --size 2147483648 \
  --tmpfs /tmp \
  --perms 1777 \
  --size 2147483648 \
  --tmpfs /var/tmp \
  --perms 0755 \
  --size 2147483648 \
  --tmpfs /run \
  --symlink ../run /var/run \
  --bind /home/ada/.claudebox/instances/0123456789abcdef/home /home/ada \
  --bind /srv/app /srv/app \
  --symlink /usr/lib/claude/claude /run/claudebox/bin/claude \
  --ro-bind /etc/alternatives /etc/alternatives \
  --ro-bind /etc/nsswitch.conf /etc/nsswitch.conf \
  --remount-ro /dev \
  --remount-ro / \
  --setenv CLAUDE_CODE_SANDBOXED 1 \
  --setenv DISABLE_AUTOUPDATER 1 \
  --setenv HOME /home/ada \
  --setenv LANG C.UTF-8 \
  --setenv LOGNAME ada \
  --setenv PATH /usr/local/bin:/usr/bin:/bin:/run/claudebox/bin:/home/ada/.local/bin \
  --setenv SHELL /bin/bash \
  --setenv TERM xterm-256color \
  --setenv USER ada \
  --chdir /)
exec /usr/bin/env -i /usr/bin/bwrap --args "$options" -- /bin/sh -c 'cd -P -- "$1" || exit 125; shift; unset OLDPWD; exec "$@"' sh /srv/app /usr/lib/claude/claude
CLAUDEBOX
#
# # then, in the netns and the user namespace that owns it, before anything leads out of it:
# /usr/sbin/nft -f - <<'RULES'
# table inet claudebox {
#   set never4 {
#     type ipv4_addr; flags interval
#     elements = { 0.0.0.0/8, 100.100.100.200, 127.0.0.0/8, 168.63.129.16, 169.254.169.254, 169.254.170.2, 169.254.170.23, 192.0.0.192, 224.0.0.0/4 }
#   }
#   set never6 {
#     type ipv6_addr; flags interval
#     elements = { ::/96, ::ffff:0:0/96, ::ffff:0:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48, 2001::/32, 2002::/16, fd00:ec2::23, fd00:ec2::254, fd20:ce::254, ff00::/8 }
#   }
#   set refused4 {
#     type ipv4_addr; flags interval
#     elements = { 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15, 240.0.0.0/4 }
#   }
#   set refused6 {
#     type ipv6_addr; flags interval
#     elements = { 100::/64, 5f00::/16, fc00::/7, fe80::/9 }
#   }
#   set host4 {
#     type ipv4_addr; flags interval
#     elements = { 192.168.1.0/24 }
#   }
#   set host6 {
#     type ipv6_addr; flags interval
#   }
#   chain refuse {  # at once: a client that is told goes on, one that waits for an answer hangs
#     meta l4proto 6 reject with tcp reset  # an ICMP refusal hangs a blocking connect(2) a second
#     reject with icmpx type admin-prohibited
#   }
#   chain reasons {  # which row of the table it was, counted
#     ip daddr { 169.254.169.254, 169.254.170.2, 169.254.170.23, 100.100.100.200, 168.63.129.16, 192.0.0.192 } counter goto refuse comment "a cloud's metadata service"
#     ip6 daddr { fd00:ec2::254, fd00:ec2::23, fd20:ce::254 } counter goto refuse comment "a cloud's metadata service"
#     ip daddr { 127.0.0.0/8 } counter goto refuse comment "loopback beyond the sandbox's own"
#     ip6 daddr { ::/96 } counter goto refuse comment "loopback beyond the sandbox's own, and the unspecified address"
#     ip daddr { 0.0.0.0/8 } counter goto refuse comment "reserved, no public host"
#     ip daddr { 224.0.0.0/4 } counter goto refuse comment "multicast"
#     ip6 daddr { ff00::/8 } counter goto refuse comment "multicast"
#     ip6 daddr { ::ffff:0:0/96, ::ffff:0:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48, 2001::/32, 2002::/16 } counter goto refuse comment "it embeds an IPv4 address"
#     ip daddr @host4 counter goto refuse comment "the host's own address or network"
#     ip6 daddr @host6 counter goto refuse comment "the host's own address or network"
#     ip daddr { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 } counter goto refuse comment "a private network (RFC 1918)"
#     ip6 daddr { fc00::/7 } counter goto refuse comment "a private network (unique local)"
#     ip6 daddr { fec0::/10 } counter goto refuse comment "a private network (site-local)"
#     ip daddr { 100.64.0.0/10 } counter goto refuse comment "shared address space (carrier NAT, Tailscale)"
#     ip daddr { 169.254.0.0/16 } counter goto refuse comment "link-local"
#     ip6 daddr { fe80::/10 } counter goto refuse comment "link-local"
#     ip daddr { 192.0.0.0/24, 198.18.0.0/15, 240.0.0.0/4 } counter goto refuse comment "reserved, no public host"
#     ip daddr { 192.88.99.0/24 } counter goto refuse comment "it embeds an IPv4 address"
#     ip6 daddr { 100::/64, 5f00::/16 } counter goto refuse comment "reserved, no public host"
#     counter goto refuse
#   }
#   chain output {  # from the sandbox to tap0
#     type filter hook output priority 0; policy drop
#     oifname "lo" accept
#     oifname != "tap0" counter goto refuse comment "another interface"
#     ip daddr 10.0.2.3 udp dport 53 counter accept comment "the resolver"
#     ip daddr 10.0.2.3 tcp dport 53 counter accept comment "the resolver"
#     ip daddr @never4 goto reasons
#     ip6 daddr @never6 goto reasons
#     exthdr rt exists counter goto refuse comment "a way of the sender's choosing"
#     ip option lsrr exists counter goto refuse comment "a way of the sender's choosing"
#     ip option ssrr exists counter goto refuse comment "a way of the sender's choosing"
#     meta nfproto ipv6 counter goto refuse comment "the host has no IPv6"
#     ip daddr @host4 goto reasons
#     ip6 daddr @host6 goto reasons
#     ip daddr @refused4 goto reasons
#     ip6 daddr @refused6 goto reasons
#     counter accept comment "public"
#   }
#   chain input {  # answers only: a backend delivers datagrams of anybody
#     type filter hook input priority 0; policy drop
#     iifname "lo" accept
#     tcp flags & (fin | syn | rst | ack) == syn counter drop comment "nobody asked for it"
#     meta l4proto 6 accept
#     icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
#     icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
#     ct state established,related accept
#     counter drop comment "nobody asked for it"
#   }
#   chain before_output {  # TCP needs no connection tracking
#     type filter hook output priority -300; policy accept
#     meta l4proto 6 notrack
#   }
#   chain before_input {  # TCP needs no connection tracking
#     type filter hook prerouting priority -300; policy accept
#     meta l4proto 6 notrack
#   }
#   chain forward {  # nothing is behind the sandbox
#     type filter hook forward priority 0; policy drop
#   }
# }
# RULES
#
# # then, beside the sandbox (<fd:…>, <pid:…> are known at run time):
# /usr/bin/slirp4netns --configure --cidr=10.0.2.0/24 --mtu=65520 --disable-host-loopback '--ready-fd=<fd:ready>' '--exit-fd=<fd:exit>' --enable-sandbox --enable-seccomp '<pid:holder>' tap0
