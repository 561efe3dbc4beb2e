package registry

import (
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for text, want := range map[string]Ref{
		"oci://registry.example/team/office-hours:1.2": {SchemeOCI, "registry.example", "team/office-hours", "1.2", ""},
		"registry.example/team/office-hours:1.2":       {SchemeOCI, "registry.example", "team/office-hours", "1.2", ""},
		"Registry.Example:5000/x":                      {SchemeOCI, "registry.example:5000", "x", "", ""},
		"localhost/x@" + digest:                        {SchemeOCI, "localhost", "x", "", digest},
		"127.0.0.1:5000/a/b/c:v1@" + digest:            {SchemeOCI, "127.0.0.1:5000", "a/b/c", "v1", digest},
		"[::1]:5000/x:1":                               {SchemeOCI, "[::1]:5000", "x", "1", ""},
		"dir:///srv/shared/policies/office-hours@1.2":  {SchemeDir, "", "/srv/shared/policies/office-hours", "1.2", ""},
		"dir:///srv/x":                                 {SchemeDir, "", "/srv/x", "", ""},
		"dir:///srv/x@" + digest:                       {SchemeDir, "", "/srv/x", "", digest},
		"dir:///srv/My Policies/x@1.2@" + digest:       {SchemeDir, "", "/srv/My Policies/x", "1.2", digest},
	} {
		got, err := ParseRef(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
		if again, err := ParseRef(got.String()); err != nil || again != got {
			t.Errorf("%s becomes %s: %+v, %v", text, got, again, err)
		}
	}
}

// TestParseRefRefuses: what a registry, a file system or a person may read as something else is no reference.
func TestParseRefRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "names no registry",
		"office-hours":                        "names no registry",
		"team/office-hours:1.2":               "names no registry",
		"https://registry.example/x:1":        `no scheme "https"`,
		"oci://":                              "names no registry",
		"oci:///x:1":                          "names no registry",
		"registry.example/":                   "no name of a repository",
		"registry.example/../../etc/passwd:1": "no name of a repository",
		"registry.example/a/../b:1":           "no name of a repository",
		"registry.example/a//b:1":             "no name of a repository",
		"registry.example/./b:1":              "no name of a repository",
		"registry.example/A:1":                "no name of a repository",
		"registry.example/a%2e%2e/b:1":        "no name of a repository",
		"registry.example/a\\b:1":             "no name of a repository",
		"registry.example/a b:1":              "no name of a repository",
		"registry.example/a?x=1:1":            "no name of a repository",
		"registry.example/" + strings.Repeat("a", 300) + ":1": "no name of a repository",
		"registry.example/x:":                                  "nothing stands behind",
		"registry.example/x:../1":                              "no tag",
		"registry.example/x:a/b":                               "no tag",
		"registry.example/x:1:2":                               "no tag",
		"registry.example/x:" + strings.Repeat("1", 129):       "no tag",
		"registry.example/x@":                                  "no digest",
		"registry.example/x@1.2":                               "no digest",
		"registry.example/x@sha256:abc":                        "no digest",
		"registry.example/x@sha256:" + strings.Repeat("A", 64): "no digest",
		"registry.example/x@md5:" + strings.Repeat("a", 32):    "no digest",
		"user:password@registry.example/x:1":                   "no user and no password",
		"registry.example:0/x:1":                               "no port",
		"registry.example:99999/x:1":                           "no port",
		"registry..example/x:1":                                "no name of a registry",
		"-a.example/x:1":                                       "no name of a registry",
		"dir://srv/x@1":                                        "absolute path",
		"dir://./x@1":                                          "absolute path",
		"dir:///@1":                                            "absolute path",
		"dir:///srv/../etc@1":                                  "absolute path",
		"dir:///srv//x@1":                                      "absolute path",
		"dir:///srv/x/@1":                                      "absolute path",
		"dir:///srv/x\x00y@1":                                  "character",
		"dir:///srv/x@":                                        "nothing stands behind",
		"dir:///srv/x@../1":                                    "no tag",
		"dir:///srv/x@1@2":                                     "no digest",
		"dir:///srv/x@1@2@3":                                   "more than a version",
	} {
		if got, err := ParseRef(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %+v, %v; want %q", text, got, err, want)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"registry.example/team/x:1.2", "dir:///srv/x@1.2", "[::1]:5000/x", "localhost/x@sha256:" + strings.Repeat("0", 64), "oci://a.b/c:d@e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			if r != (Ref{}) {
				t.Errorf("%q gave %+v and %v", s, r, err)
			}
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, which is written %q and read as %+v, %v", s, r, r.String(), again, err)
		}
		if strings.Contains(r.Path+"/", "/../") || strings.ContainsRune(r.Path, 0) {
			t.Errorf("%q leads to %q", s, r.Path)
		}
	})
}

func FuzzImage(f *testing.F) {
	for _, s := range []string{`{}`, `{"layers":[{"mediaType":"application/wasm","digest":"sha256:00","size":1}]}`, `{"manifests":[{}]}`, `{"manifests":[{"platform":{"os":"linux"}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := readImage(text)
		if err != nil {
			return
		}
		if d, err := i.choose(); err == nil && len(i.Manifests) == 0 {
			t.Errorf("chose %+v of nothing", d)
		}
		if d, _, err := i.module(); err == nil && !IsDigest(d.Digest) {
			t.Errorf("a module without a digest: %+v", d)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte(magicModule), byte(0))
	f.Add(archiveOf(f, true, "plugin.wasm", magicModule), byte(gzipped))
	f.Add(archiveOf(f, false, "plugin.wasm", magicModule), byte(tarball))
	f.Fuzz(func(t *testing.T, content []byte, k byte) {
		wasm, err := unpack(content, kind(k%3), 1<<20)
		if err == nil && (len(wasm) < len(magicModule) || string(wasm[:len(magicModule)]) != magicModule || len(wasm) > 1<<20 && kind(k%3) != bare) {
			t.Errorf("unpacked %d bytes that are no module", len(wasm))
		}
	})
}

func TestCompareVersions(t *testing.T) {
	order := []string{"0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0", "v1.0.1", "1.2.0", "1.10.0", "edge", "latest"}
	for i, a := range order {
		for j, b := range order {
			if got := CompareVersions(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: %d", a, b, got)
			}
		}
	}
}
