#!/bin/bash
# Publishes the built-in policy and the examples into a folder in the layout of OCI images, one folder per plugin, each signed:
#
#   plugins/oci.sh OUT        dir://OUT/NAME@VERSION is what policies.yaml then names
#
# What each is called, its version and what it asks for stands in its manifest.yaml. SALLYPORT_SIGNING_KEY names the file of a secret
# key; without it a fresh one is made, and thrown away when all is signed. The public key is written to OUT/signed-by.pub. EXAMPLES
# names some examples only; "" is none of them. sallyport plugin verify dir://OUT/NAME@VERSION --rebuild FOLDER says that each comes from its
# source.
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

PATH=$PWD/.tools/zig/bin:$PATH # where make deps-zig has put it

# publish FOLDER builds the folder's policy as anybody can, who then gets the same file, and pushes and signs it.
publish() {
  local name version
  name=$(sed -n 's/^name: //p' "$1/manifest.yaml")
  version=$(sed -n 's/^version: //p' "$1/manifest.yaml")
  "$sallyport" plugin build "$1" --out "$scratch/$name.wasm" >/dev/null
  "$sallyport" plugin push "$scratch/$name.wasm" "dir://$out/$name@$version" --key "$key"
}

publish plugins/default
for manifest in examples/*/manifest.yaml; do
  folder=$(dirname "$manifest")
  example=$(basename "$folder")
  [[ " ${EXAMPLES-$example} " == *" $example "* ]] || continue
  publish "$folder"
done
