#!/bin/sh
# Looks for what the build and the models need, and installs what is missing: with apt-get on
# Debian and Ubuntu, with Homebrew on macOS. Elsewhere, or without the rights to install, it names
# each missing thing and the command to type. Says nothing when all is there.
set -eu

has() { command -v "$1" >/dev/null 2>&1; }

# Whether any argument is a file; unmatched patterns stay as they are and so are none.
any_file() {
    for file in "$@"; do
        if [ -e "$file" ]; then return 0; fi
    done
    return 1
}

# Where the bindings generator looks for libclang, in order of cost.
has_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        if [ -f "$LIBCLANG_PATH" ]; then return 0; fi
        any_file "$LIBCLANG_PATH"/libclang.so* "$LIBCLANG_PATH"/libclang-*.so* \
            "$LIBCLANG_PATH"/libclang.dylib && return 0
    fi
    any_file /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-*.so* \
        /usr/lib/*/libclang.so* /usr/lib/*/libclang-*.so* \
        /usr/lib/libclang.so* /usr/lib64/libclang.so* /usr/lib64/llvm*/lib/libclang.so* \
        /usr/lib64/llvm*/lib64/libclang.so* /usr/lib/llvm/*/lib*/libclang.so* \
        /usr/local/lib/libclang.so* /usr/local/llvm*/lib/libclang.so* \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/libclang.dylib \
        /usr/local/opt/llvm*/lib/libclang.dylib && return 0
    has llvm-config || return 1
    directory=$(llvm-config --libdir 2>/dev/null) || return 1
    any_file "$directory"/libclang.so* "$directory"/libclang-*.so* "$directory"/libclang.dylib
}

# libclang needs the headers that come with the compiler (stddef.h), which the bare library lacks.
has_clang_headers() {
    has clang || any_file /usr/lib/llvm-*/lib/clang/*/include/stddef.h \
        /usr/lib*/clang/*/include/stddef.h \
        /Library/Developer/CommandLineTools/usr/lib/clang/*/include/stddef.h \
        /usr/local/opt/llvm*/lib/clang/*/include/stddef.h
}

has_pip() {
    python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("pip") is None)' \
        >/dev/null 2>&1
}

# Debian leaves ensurepip out, without which venv makes no environment.
has_venv() {
    python3 -c 'import venv, ensurepip' >/dev/null 2>&1
}

missing=''
apt=''
brew=''

# need WHAT APT_PACKAGES BREW_FORMULA; XCODE stands for the command line tools, which brew lacks.
need() {
    missing="$missing
  $1"
    apt="$apt $2"
    brew="$brew $3"
}

look() {
    missing=''
    apt=''
    brew=''
    if ! { has cc && has c++; }; then need 'a C and C++ compiler' build-essential XCODE; fi
    if ! has make; then need make make XCODE; fi
    if ! has cmake; then need cmake cmake cmake; fi
    if ! has_libclang; then
        need 'libclang' 'libclang-dev clang' XCODE
    elif ! has_clang_headers; then
        need "clang's headers" clang XCODE
    fi
    if ! has python3; then
        need 'python3 with pip and venv' 'python3 python3-pip python3-venv' python
    else
        if ! has_pip; then need 'pip for python3' python3-pip python; fi
        # The tests install a ChromaDB server into an environment of its own.
        if ! has_venv; then need 'venv for python3' python3-venv python; fi
    fi
}

# Runs a command as root, or fails where that is not to be had.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif ! has sudo; then
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@" 2>/dev/null
    fi
}

install_with_apt() {
    as_root apt-get update -qq || return 1
    # Without quotes: each word is a package.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $apt
}

install_with_brew() {
    formulae=''
    for formula in $brew; do
        if [ "$formula" != XCODE ]; then formulae="$formulae $formula"; fi
    done
    if [ -n "$formulae" ]; then
        # shellcheck disable=SC2086
        brew install $formulae
    fi
}

commands_to_type() {
    if has apt-get; then
        echo "  sudo apt-get update && sudo apt-get install -y$apt"
    elif [ "$(uname -s)" = Darwin ]; then
        formulae=''
        for formula in $brew; do
            case $formula in
                XCODE) xcode=yes ;;
                *) formulae="$formulae $formula" ;;
            esac
        done
        if [ -n "${xcode:-}" ]; then echo '  xcode-select --install'; fi
        if [ -n "$formulae" ]; then echo "  brew install$formulae   (Homebrew: https://brew.sh)"; fi
    elif has dnf; then
        echo '  sudo dnf install gcc-c++ make cmake clang-devel python3-pip'
    elif has pacman; then
        echo '  sudo pacman -S --needed base-devel cmake clang python-pip'
    elif has apk; then
        echo '  sudo apk add build-base cmake clang-dev python3 py3-pip'
    elif has zypper; then
        echo '  sudo zypper install gcc-c++ make cmake clang-devel python3-pip'
    else
        echo "  (your package manager's packages for the above)"
    fi
}

if ! has cargo; then
    # rustup puts cargo where only new shells look.
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        echo "Rust is installed, but this shell does not find it yet. Type:" >&2
        echo "  . \"${CARGO_HOME:-$HOME/.cargo}/env\"" >&2
    else
        echo 'Rust is missing. Install it with:' >&2
        echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
        echo 'or see https://rustup.rs. Then open a new shell, and try again.' >&2
    fi
    exit 1
fi

look
if [ -z "$missing" ]; then exit 0; fi

echo "The build needs:$missing" >&2
if has apt-get; then
    echo "Installing:$apt" >&2
    install_with_apt >&2 || echo 'That did not work.' >&2
elif [ "$(uname -s)" = Darwin ] && has brew; then
    install_with_brew >&2 || echo 'That did not work.' >&2
fi

look
if [ -n "$missing" ]; then
    echo "Still missing:$missing" >&2
    echo 'Install it with:' >&2
    commands_to_type >&2
    exit 1
fi
