#!/usr/bin/env bash
# Builds javascript.wasm: QuickJS and what is in guest/, as a policy of the contract. usage: build.sh OUT
#
# It needs clang, wasm-ld, wasi-libc and the compiler's wasm32 library; Debian:
#     apt-get install clang lld wasi-libc libclang-rt-dev-wasm32
# and python3 with pip, which fetches the sources of QuickJS once, by the version and the digest in quickjs.txt. A second
# build of the same sources does nothing; what was fetched is kept in .build/.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:?usage: build.sh OUT}
[[ $out = /* ]] || out=$OLDPWD/$out
sdk=../../sdk/c
clang=${CLANG:-clang}

fail() { echo "javascript.wasm is not built: $*" >&2; exit 1; }

command -v "$clang" >/dev/null && command -v wasm-ld >/dev/null ||
  fail "clang and wasm-ld are needed (Debian: apt-get install clang lld)"
resources=$("$clang" -print-resource-dir)
[ -f "$resources/lib/wasi/libclang_rt.builtins-wasm32.a" ] ||
  fail "the compiler's wasm32 library is not in $resources/lib/wasi (Debian: apt-get install libclang-rt-dev-wasm32)"
sysroot=${WASI_SYSROOT:-}
flags=(--target=wasm32-wasi)
if [ -n "$sysroot" ]; then
  flags+=(--sysroot="$sysroot")
else
  [ -f /usr/lib/wasm32-wasi/libc.a ] || fail "there is no C library for wasm32-wasi (Debian: apt-get install wasi-libc)"
fi

read -r package version digest <quickjs.txt
sources=.build/${package//-/_}-$version

# Two builds at a time would overwrite each other's objects.
mkdir -p .build
if command -v flock >/dev/null; then exec 9>.build/lock && flock 9; fi

# The digest of everything that the module is made of. It is kept beside that of the module: nothing is built twice.
recipe=$({ cat build.sh quickjs.txt guest/* $sdk/sallyport.h; "$clang" --version; } | sha256sum | cut -d' ' -f1)
[ -f "$out" ] && [ -f .build/made ] && [ "$(cat .build/made)" = "$recipe $(sha256sum <"$out")" ] && exit 0

fetch() {
  local archive=.build/${package//-/_}-$version.tar.gz
  [ -f "$archive" ] || python3 -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "$package" \
    --dest .build "$package==$version" >/dev/null || fail "pip could not fetch $package $version"
  echo "$digest  $archive" | sha256sum --check --quiet || { rm -f "$archive"; fail "$archive is not what quickjs.txt says"; }
  tar -xzf "$archive" -C .build
}
[ -f "$sources/upstream-quickjs/quickjs.c" ] || fetch

objects=.build/objects
rm -rf $objects && mkdir -p $objects
engine=$sources/upstream-quickjs
common=("${flags[@]}" -std=gnu11 -mbulk-memory -mnontrapping-fptoint -fno-ident -ffile-prefix-map="$PWD=." -DNDEBUG)
compile() { # OBJECT FLAGS…: a failure stops the build, wherever it runs
  "$clang" "${common[@]}" "${@:2}" -c -o "$objects/$1.o" || fail "$1 does not compile"
}
# -O2 makes the engine larger by 300 KB and calls no faster.
compile quickjs -Os -w -D_GNU_SOURCE -include guest/quiet.h "$engine/quickjs.c" &
for c in libregexp libunicode dtoa; do compile $c -Os -w -D_GNU_SOURCE -include guest/quiet.h "$engine/$c.c"; done
for c in guest/*.c; do compile "guest-$(basename "$c" .c)" -O2 -Wall -Wextra -Werror -Wno-unused-parameter -I"$engine" -I$sdk "$c"; done
wait $!

# What may change stands behind the symbol of the first file (guest/fresh.c).
"$clang" "${flags[@]}" -mexec-model=reactor -o $objects/javascript.wasm \
  $objects/guest-fresh.o $(ls $objects/*.o | grep -v guest-fresh.o) \
  -Wl,--strip-all -Wl,--gc-sections -Wl,--stack-first -Wl,-z,stack-size=262144 ${MAP:+-Wl,-Map=$MAP}
mkdir -p "$(dirname "$out")"
mv $objects/javascript.wasm "$out"
echo "$recipe $(sha256sum <"$out")" >.build/made
