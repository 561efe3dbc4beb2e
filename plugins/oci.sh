#!/bin/bash
# Publishes the built-in policy and the examples into a folder in the layout of OCI images, one folder per plugin, each signed:
#
#   plugins/oci.sh OUT        dir://OUT/NAME@VERSION is what policies.yaml then names
#
# SALLYPORT_SIGNING_KEY names the file of a secret key; without it a fresh one is made, and thrown away when all is signed. The
# public key is written to OUT/signed-by.pub. EXAMPLES names some examples only; "" is none of them.
set -euo pipefail

out=$(realpath -m "${1:?the folder to write}")
key=${SALLYPORT_SIGNING_KEY:+$(realpath "$SALLYPORT_SIGNING_KEY")}
cd "$(dirname "$0")/.."
sallyport=$(realpath "${SALLYPORT_BIN:-bin/sallyport}")
version=${VERSION:-0.1.0}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

[ ! -e "$out" ] || { echo "$out is there already: it is left as it is" >&2; exit 1; }
mkdir -p "$out"
trap '[ $? -eq 0 ] || rm -rf "$out"; rm -rf "$scratch"' EXIT # half of it is nothing to take policies from
trap 'exit 1' INT TERM
if [ -z "$key" ]; then
  "$sallyport" plugin keygen -o "$scratch/fresh" --no-password >/dev/null
  key=$scratch/fresh.key
  cp "$scratch/fresh.pub" "$out/signed-by.pub"
elif [ -f "${key%.key}.pub" ]; then
  cp "${key%.key}.pub" "$out/signed-by.pub"
fi

# publish NAME MODULE DESCRIPTION REST puts a manifest into a module, unless the example has one, and pushes it.
publish() {
  local name=$1 module=$2 dir=$scratch/$1
  mkdir -p "$dir"
  if [ -f "examples/$name/manifest.yaml" ]; then
    cp "examples/$name/manifest.yaml" "$dir"
    [ ! -f "examples/$name/cases.yaml" ] || cp "examples/$name/cases.yaml" "$dir"
  else
    printf 'name: %s\nversion: %s\ndescription: %s\nlicence: MIT\n%s\n' "$name" "$version" "$3" "$4" > "$dir/manifest.yaml"
  fi
  "$sallyport" plugin build "$dir" --wasm "$module" --out "$dir/$name.wasm" --revision "$(git rev-parse HEAD 2>/dev/null || true)" >/dev/null
  "$sallyport" plugin push "$dir/$name.wasm" "dir://$out/$name@$(sed -n 's/^version: //p' "$dir/manifest.yaml")" --key "$key"
}

# example FOLDER NAME DESCRIPTION REST builds an example and publishes it.
example() {
  [[ " ${EXAMPLES-$1} " == *" $1 "* ]] || return 0
  make --no-print-directory -C "examples/$1" OUT="$scratch/$2.wasm" >/dev/null
  publish "$2" "$scratch/$2.wasm" "$3" "$4"
}

publish default plugins/dist/default.wasm 'Keys, teams, chains and prices, as every gateway has them' \
  $'hooks: [authenticate, choose_step, price_response]\ngrants: [{identities: read, reason: finds stored keys}]'
example policy-go greet 'Tells whoever comes without a key where to get one' 'hooks: [authenticate]'
example policy-c guest-pass 'Lets callers from the own machine in without a key' 'hooks: [authenticate]'
example jwt jwt 'Lets callers in who bring a JSON Web Token' $'hooks: [authenticate]\ngrants: [{input: credential, reason: the token is the credential}]'
example office-hours office-hours 'Nobody works at night' $'hooks: [authenticate]\nveto: true'
example tier-routing tier-routing 'Sends callers to steps by their tier' $'hooks: [choose_step]\ngrants: [{input: request.headers.x-tier, reason: it names the tier}]'
example latency-first latency-first '' ''
example zig-weekend zig-weekend '' ''
example flat-fee flat-fee 'A request costs the same, however long' 'hooks: [price_response]'
example markup markup 'What providers cost, and a share on top' 'hooks: [price_response]'
example trial trial 'Lets callers try for a while' 'hooks: [authenticate]'
