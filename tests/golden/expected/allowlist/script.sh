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
exec {made6}< <(printf %s $'nameserver 198.18.0.1\noptions timeout:5 attempts:2\n')
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
#   chain output {  # UDP and ICMP fail at once
#     type filter hook output priority 0; policy accept
#     ip daddr { 127.0.0.0/8, 198.18.0.1 } accept
#     ip6 daddr { ::1, fd00:cb00::1 } accept
#     meta l4proto 6 accept
#     counter reject with icmpx type admin-prohibited comment "not TCP"
#   }
#   chain lead {  # every other connection arrives at the gateway
#     type filter hook prerouting priority -150; policy accept
#     ip daddr { 127.0.0.0/8, 198.18.0.1 } accept
#     ip6 daddr { ::1, fd00:cb00::1 } accept
#     meta nfproto ipv4 meta l4proto 6 counter tproxy ip to 198.18.0.1:1
#     meta nfproto ipv6 meta l4proto 6 counter tproxy ip6 to [fd00:cb00::1]:1
#   }
# }
# RULES
