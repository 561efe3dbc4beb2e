package config

import (
	"io"
	"os"

	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// maxKeyFile is far more than a public key has.
const maxKeyFile = 16 << 10

// trustedKeys reads the keys that may sign policies.
func (l *loading) trustedKeys(v value) {
	names, ids := claims{}, map[string]string{}
	v.items(func(v value) {
		var k trust.Key
		ok := v.object([]field{
			optional("name", func(v value) {
				k.Name = v.name()
				names.claim(v, k.Name)
			}),
			required("key", func(v value) { k.Public = v.publicKey() }),
			required("names", func(v value) { k.Names = v.signedNames() }),
			optional("revoked", func(v value) { v.boolean(&k.Revoked) }),
		})
		if !ok {
			return
		}
		id := k.Public.ID()
		if first := ids[id]; id != "" && first != "" {
			v.fail("holds the same key as %s: write the names of both into one", first)
			return
		}
		ids[id] = v.path
		l.snapshot.Sources.Trust = append(l.snapshot.Sources.Trust, k)
	})
}

// publicKey reads a key that stands there, or in a file.
func (v value) publicKey() (k trust.PublicKey) {
	s, ok := v.text()
	if !ok {
		return k
	}
	text := []byte(s)
	if !trust.IsKeyText(s) {
		var path string
		if !v.file(&path) {
			return k
		}
		v.load.snapshot.Sources.KeyFiles = append(v.load.snapshot.Sources.KeyFiles, path)
		if text, ok = v.smallFile(path, maxKeyFile); !ok {
			return k
		}
	}
	k, err := trust.ParsePublicKey(text)
	if err != nil {
		v.fail("%v", err)
	}
	return k
}

// smallFile reads a file of a few bytes.
func (v value) smallFile(path string, most int64) ([]byte, bool) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		v.fail("there is no file %s", quote(v.written()))
		return nil, false
	}
	f, err := os.Open(path)
	if err != nil {
		v.fail("cannot be read: %v", withoutPath(err))
		return nil, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		v.fail("cannot be read: %v", withoutPath(err))
	case int64(len(text)) > most:
		v.fail("is larger than %s", formatSize(most))
	default:
		return text, true
	}
	return nil, false
}

// signedNames reads what a key may sign.
func (v value) signedNames() (names []string) {
	ok := v.items(func(v value) {
		s, ok := v.text()
		if !ok {
			return
		}
		if message := trust.CheckPattern(s); message != "" {
			v.fail("%s", message)
			return
		}
		names = append(names, s)
	})
	if ok && len(v.node.Content) == 0 {
		v.fail(`names no plugin: write "*" for all of them`)
	}
	return names
}
