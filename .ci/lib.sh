# What the scripts in this folder share; they source it.

step() { printf '\n== %s\n' "$*"; }

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs these packages of Debian or Ubuntu; none is fine.
install_packages() {
    [ $# -gt 0 ] || return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# Prints those of these packages that are not installed.
missing() {
    local package
    for package in "$@"; do
        [ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            echo "$package"
    done
}

# For other targets than this machine: Debian's compiler, which comes with the source of the standard
# library. That is built for the target, which is an unstable feature.
windows=x86_64-pc-windows-gnu
compiler_packages=(rustc-web cargo-web rust-web-src)
windows_packages=("${compiler_packages[@]}" gcc-mingw-w64-x86-64)
std=-Zbuild-std=std,panic_abort,panic_unwind,test
use_debians_compiler() {
    # Written out, because those of rustup come first on PATH.
    export CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
    export CARGO_TARGET_DIR=$PWD/target/platforms
}
