#!/bin/bash
# Publishes the built-in policy and the examples into a folder in the layout of OCI images, one folder per plugin, each signed:
#
#   plugins/oci.sh OUT        dir://OUT/NAME@VERSION is what policies.yaml then names
#
# What each is called, its version and what it asks for stands in its manifest.yaml. SALLYPORT_SIGNING_KEY names the file of a secret
# key; without it a fresh one is made, and thrown away when all is signed. The public key is written to OUT/signed-by.pub. EXAMPLES
# names some examples only; "" is none of them.
set -euo pipefail

out=$(realpath -m "${1:?the folder to write}")
key=${SALLYPORT_SIGNING_KEY:+$(realpath "$SALLYPORT_SIGNING_KEY")}
cd "$(dirname "$0")/.."
sallyport=$(realpath "${SALLYPORT_BIN:-bin/sallyport}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

[ ! -e "$out" ] || { echo "$out is there already: it is left as it is" >&2; exit 1; }
if [ -n "$key" ] && [ ! -f "${key%.key}.pub" ]; then
  echo "${key%.key}.pub is not there: whoever takes the policies needs the public key of $key" >&2
  exit 1
fi
mkdir -p "$out"
trap '[ $? -eq 0 ] || rm -rf "$out"; rm -rf "$scratch"' EXIT # half of it is nothing to take policies from
trap 'exit 1' INT TERM
if [ -z "$key" ]; then
  "$sallyport" plugin keygen -o "$scratch/fresh" --no-password >/dev/null
  key=$scratch/fresh.key
fi
cp "${key%.key}.pub" "$out/signed-by.pub"

# first prints the first line of what a command says.
first() { "$@" 2>/dev/null | sed -n 1p; }

# toolchain FOLDER says what compiles the policy in it.
toolchain() {
  if [ -f "$1/go.mod" ]; then
    go env GOVERSION
  elif [ -f "$1/policy.c" ]; then
    first clang --version
  elif [ -f "$1/policy.rs" ]; then
    for compiler in rustc /usr/bin/rustc; do
      if [ -d "$(first "$compiler" --print target-libdir --target wasm32-unknown-unknown)" ]; then first "$compiler" --version; break; fi
    done
  elif [ -f "$1/policy.ts" ]; then
    first sdk/assemblyscript/node_modules/.bin/asc --version | sed 's/^Version/AssemblyScript/'
  elif [ -f "$1/policy.zig" ]; then
    if [ -x .tools/zig/bin/python-zig ]; then echo "Zig $(first .tools/zig/bin/python-zig version)"; else echo "Zig $(first zig version)"; fi
  fi
}

# publish FOLDER MODULE puts the folder's manifest into a module that was compiled from it, and pushes and signs it.
publish() {
  local name version
  name=$(sed -n 's/^name: //p' "$1/manifest.yaml")
  version=$(sed -n 's/^version: //p' "$1/manifest.yaml")
  "$sallyport" plugin build "$1" --wasm "$2" --out "$scratch/$name.wasm" --toolchain "$(toolchain "$1")" >/dev/null
  "$sallyport" plugin push "$scratch/$name.wasm" "dir://$out/$name@$version" --key "$key"
}

publish plugins/default plugins/dist/default.wasm
for manifest in examples/*/manifest.yaml; do
  folder=$(dirname "$manifest")
  example=$(basename "$folder")
  [[ " ${EXAMPLES-$example} " == *" $example "* ]] || continue
  make --no-print-directory -C "$folder" OUT="$scratch/compiled.wasm" >/dev/null
  publish "$folder" "$scratch/compiled.wasm"
  rm "$scratch/compiled.wasm"
done
