# Shared by the scripts: what they say, and what they install. Source it; it runs nothing by itself.
#
#   need_packages NAME...      Debian packages, each only where it is missing (PROGRAM=PACKAGE: where
#                              that program is missing)
#   need_node                  node and npm, unless the machine has them
#   make_venv DIR [GROUP...]   a venv with claudebox in it, installed as a wheel, and dependency groups
#   tools_venv                 prints a kept venv of what claudebox and its checks need, without claudebox
#   fetch_agents DIR SPEC...   agents' clients by npm; their programs are DIR/node_modules/.bin/NAME
#   cache_directory            prints a directory for what may be kept between runs
# shellcheck shell=bash

PROJECT_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

say() { printf '%s\n' "== $*" >&2; }

die() { # MESSAGE [HINT]
    printf '%s\n' "error: $1" >&2
    [[ -z ${2-} ]] || printf '%s\n' "hint: $2" >&2
    exit 1
}

# Runs a command quietly; what it printed is shown only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status)); then
        printf 'failed (%d): %s\n' "$status" "$*" >&2
        tail -n 40 "$log" >&2
    fi
    rm -f -- "$log"
    return "$status"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -E -- "$@"
    else
        die "this needs root, and there is no sudo: $*" "as root: $*"
    fi
}

cache_directory() {
    local directory
    if [[ -n ${CLAUDEBOX_TEST_CACHE-} ]]; then
        directory=$CLAUDEBOX_TEST_CACHE
    elif ((EUID == 0)); then
        directory=/var/cache/claudebox-test # root's own: no sandbox and no other user writes there
    else
        directory=${XDG_CACHE_HOME:-$HOME/.cache}/claudebox-test
    fi
    mkdir -p -- "$directory"
    printf '%s\n' "$directory"
}

# --- Debian packages -----------------------------------------------------------------------------

_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}

# Prints those of the packages that are missing, one a line.
missing_packages() {
    local name program package
    for name in "$@"; do
        program=${name%%=*} package=${name#*=}
        if [[ $name == *=* ]] && (PATH=$PATH:/usr/sbin:/sbin && command -v "$program" >/dev/null); then
            continue
        fi
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || printf '%s\n' "$package"
    done
}

need_packages() {
    local -a missing
    if ! command -v dpkg-query >/dev/null; then
        local name
        for name in "$@"; do
            [[ $name != *=* ]] || command -v "${name%%=*}" >/dev/null ||
                die "${name%%=*} is missing" "install it with this system's package manager; these scripts know only apt"
        done
        return
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    say "installing with apt: ${missing[*]}"
    # With fresh lists the first try is enough; stale or absent ones are fetched, and it is tried again.
    if ! _apt install "${missing[@]}" >/dev/null 2>&1 </dev/null; then
        quietly _apt update || say "apt-get update failed; trying with the lists that are there"
        quietly _apt install "${missing[@]}" || die "apt could not install ${missing[*]}"
    fi
}

need_node() {
    command -v node >/dev/null && command -v npm >/dev/null || need_packages node=nodejs npm=npm
}

# --- Python --------------------------------------------------------------------------------------

# Prints the interpreter for venvs: the system's own where it is new enough (a pyenv in root's home
# is unreadable for everybody else, and its shim costs a start 60 ms), or CLAUDEBOX_PYTHON.
find_python() {
    local candidate
    for candidate in ${CLAUDEBOX_PYTHON:+"$CLAUDEBOX_PYTHON"} /usr/bin/python3 \
        python3.11 python3.12 python3.13 python3.14 python3; do
        candidate=$(command -v -- "$candidate") || continue
        if "$candidate" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "claudebox needs Python 3.11 or newer" "apt install python3 (Debian 12 or newer)"
}

# Prints the requirements of one dependency group (pip itself knows groups only from 25.1 on), or of
# the project for `project`.
group_requirements() { # PYTHON GROUP
    "$1" -I -c 'import sys, tomllib
with open(sys.argv[1], "rb") as file:
    data = tomllib.load(file)
group = sys.argv[2]
wanted = data["project"]["dependencies"] if group == "project" else data["dependency-groups"][group]
print(*wanted, sep="\n")' "$PROJECT_ROOT/pyproject.toml" "$2"
}

tools_venv() {
    local python requirements directory made
    python=$(find_python) || exit 1
    requirements=$(group_requirements "$python" project && group_requirements "$python" dev)
    directory=$(cache_directory)/tools-$(printf '%s\n' "$python" "$requirements" | sha256sum | cut -c1-16)
    if [[ ! -f $directory/.complete ]]; then
        ensure_venv_module "$python"
        say "making a venv with the tools ($("$python" -V 2>&1), $python)"
        (
            exec 9>"$directory.lock"
            flock 9 # two checks at once
            [[ ! -f $directory/.complete ]] || exit 0
            quietly "$python" -I -m venv --clear -- "$directory" || exit 1
            mapfile -t made <<<"$requirements"
            quietly "$directory/bin/python" -m pip install -q --disable-pip-version-check --no-input "${made[@]}" || exit 1
            touch -- "$directory/.complete"
        ) || die "pip could not install the tools"
    fi
    printf '%s\n' "$directory"
}

# Debian ships ensurepip apart.
ensure_venv_module() { # PYTHON
    [[ $1 != /usr/bin/python3 ]] || "$1" -I -c 'import ensurepip' 2>/dev/null || need_packages python3-venv
}

make_venv() { # DIR [GROUP...]; VENV_SOURCE: the source tree, where it is not this checkout
    local directory=$1 python group
    local -a requirements=()
    shift
    python=$(find_python) || exit 1
    ensure_venv_module "$python"
    for group in "$@"; do
        mapfile -t -O "${#requirements[@]}" requirements < <(group_requirements "$python" "$group")
    done
    say "making a venv with claudebox ($("$python" -V 2>&1), $python)"
    quietly "$python" -I -m venv --clear -- "$directory" || die "could not make a venv in $directory"
    quietly "$directory/bin/python" -m pip install -q --disable-pip-version-check --no-input \
        "${VENV_SOURCE:-$PROJECT_ROOT}" ${requirements[@]+"${requirements[@]}"} || die "pip could not install claudebox"
}

# --- agents' clients -----------------------------------------------------------------------------

# npm 11 runs install scripts only of packages that package.json allows; older ones ignore the field.
# claude-code's script puts the native program of its platform package in place.
fetch_agents() { # DIR SPEC...
    local directory=$1 stamp
    shift
    stamp=$(printf '%s\n' "$@" | sort)
    if [[ -f $directory/.complete && $(<"$directory/.complete") == "$stamp" ]]; then
        return
    fi
    need_node
    say "fetching by npm: $*"
    mkdir -p -- "$directory"
    (
        cd -- "$directory" || exit 1
        exec 9>.lock
        flock 9 # two runs of the tests share this cache
        [[ ! -f .complete || $(<.complete) != "$stamp" ]] || exit 0
        rm -rf -- node_modules package.json package-lock.json .complete
        {
            printf '{"private": true, "allowScripts": {'
            local separator='' spec
            for spec in "$@"; do
                printf '%s"%s": true' "$separator" "${spec%@*}"
                separator=', '
            done
            printf '}}\n'
        } >package.json
        umask 022
        # opencode's script starts it, and it writes into the home of whoever installs it
        quietly env XDG_CONFIG_HOME="$PWD/.xdg" XDG_DATA_HOME="$PWD/.xdg" XDG_STATE_HOME="$PWD/.xdg" \
            XDG_CACHE_HOME="$PWD/.xdg" npm install --no-fund --no-audit --no-update-notifier --no-progress --loglevel=error \
            --foreground-scripts --include=optional -- "$@" || exit 1
        printf '%s\n' "$stamp" >.complete
    ) || die "npm could not fetch $*"
}
