package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxCA is far more than all authorities of the public web need.
const maxCA = 1 << 20

// caFile reads the certificates that a provider's own has to come from.
func (v value) caFile(p *Provider) {
	if !v.file(&p.CAFile) {
		return
	}
	if p.Host != "" && !p.TLS {
		v.fail("has no meaning: base_url begins with http://")
		return
	}
	if info, err := os.Stat(p.CAFile); err != nil || !info.Mode().IsRegular() {
		v.fail("there is no file %s", quote(v.written()))
		return
	}
	f, err := os.Open(p.CAFile)
	if err != nil {
		v.fail("cannot be read: %v", withoutPath(err))
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCA+1))
	switch {
	case err != nil:
		v.fail("cannot be read: %v", withoutPath(err))
	case len(text) > maxCA:
		v.fail("is larger than %s", formatSize(maxCA))
	default:
		p.CA = v.certificates(text)
	}
}

// certificates checks every block of a file in PEM, and returns the certificates alone: what stands between them is
// comments, which change nothing.
func (v value) certificates(text []byte) string {
	var all bytes.Buffer
	found := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		found++
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			v.fail("holds a private key, which does not belong there")
			return ""
		}
		if block.Type != "CERTIFICATE" {
			v.fail("holds a block %s where a CERTIFICATE should be", quote(block.Type))
			return ""
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			v.fail("certificate %d cannot be read: %v", found, err)
			return ""
		}
		_ = pem.Encode(&all, &pem.Block{Type: block.Type, Bytes: block.Bytes}) // a buffer takes everything
	}
	switch begun := bytes.Count(text, []byte("-----BEGIN ")); {
	case begun == 0:
		v.fail("holds no certificate in PEM")
		return ""
	case begun != found: // the decoder passes over what it cannot read
		v.fail("holds %d blocks of PEM, of which %d can be read", begun, found)
		return ""
	}
	return all.String()
}

// withoutPath returns what is wrong with a file but for its path, which may hold the value of a variable.
func withoutPath(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}
