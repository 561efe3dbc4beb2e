package identity

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

// counting yields the bytes 0, 1, 2, … of the worked example.
func counting() io.Reader {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(i)
	}
	return bytes.NewReader(b)
}

func TestGenerate(t *testing.T) {
	tests := []struct {
		name, prefix string
		random       io.Reader
		want         string
	}{
		{"the worked example", "", counting(), "aigw_000SYW7RiJxkEgOGusQGwp26KScI"},
		{"the default prefix by name", "aigw_", counting(), "aigw_000SYW7RiJxkEgOGusQGwp26KScI"},
		{"the same bits under another prefix", "sk-ant-", counting(), "sk-ant-000SYW7RiJxkEgOGusQGwp40UgcN"},
		{"the smallest number", "gm_", bytes.NewReader(make([]byte, 16)), "gm_00000000000000000000002WmEpL"},
		{"the largest number", "gm_", bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)), "gm_7n42DGM5Tflk9n8mt7Fhc71a4rBO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Generate(tt.prefix, tt.random)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestGenerateRefusesPrefix(t *testing.T) {
	for _, prefix := range []string{"_", "-", "a", "sk", "SK-", "s k-", "sk--", "-sk-", "1a_", "sk-\n", "ß_", "abcdefghijklmnop_", "sk.ant-"} {
		if _, err := Generate(prefix, counting()); !errors.Is(err, ErrPrefix) {
			t.Errorf("%q: got %v, want %v", prefix, err, ErrPrefix)
		}
	}
}

func TestGenerateReportsMissingRandomness(t *testing.T) {
	if _, err := Generate("", bytes.NewReader(make([]byte, 15))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

func TestShape(t *testing.T) {
	tests := []struct {
		name, credential string
		want             abi.CredentialShape
	}{
		{"none", "", abi.CredentialNone},
		{"generated", "aigw_000SYW7RiJxkEgOGusQGwp26KScI", abi.CredentialGenerated},
		{"generated with another prefix", "sk-ant-000SYW7RiJxkEgOGusQGwp40UgcN", abi.CredentialGenerated},
		{"one digit changed", "aigw_000SYW7RiJxkEgOGusQGwq26KScI", abi.CredentialMistyped},
		{"one digit of the checksum changed", "aigw_000SYW7RiJxkEgOGusQGwp26KScJ", abi.CredentialMistyped},
		{"two digits swapped", "aigw_000SYW7RiJxkEgOGusGQwp26KScI", abi.CredentialMistyped},
		{"cut short", "aigw_000SYW7RiJxkEgOGusQGwp26KSc", abi.CredentialMistyped},
		{"one digit too many", "aigw_000SYW7RiJxkEgOGusQGwp26KScI0", abi.CredentialMistyped},
		{"the prefix alone", "aigw_", abi.CredentialMistyped},
		{"a prefix that is not whole", "aigw", abi.CredentialForeign},
		{"a mistyped key of another prefix", "sk-ant-000SYW7RiJxkEgOGusQGwp40Ugc8", abi.CredentialForeign},
		{"a provider's own", "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", abi.CredentialForeign},
		{"of the team's own", "let me in", abi.CredentialForeign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Shape([]byte(tt.credential)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func FuzzShape(f *testing.F) {
	for _, s := range []string{"", "aigw_", "sk-", "aigw_000SYW7RiJxkEgOGusQGwp26KScI", "_0000000000000000000000000000"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, credential []byte) {
		shape := Shape(credential)
		if shape < abi.CredentialNone || shape > abi.CredentialMistyped {
			t.Fatalf("shape %d", shape)
		}
		if (shape == abi.CredentialNone) != (len(credential) == 0) {
			t.Fatalf("%q has shape %d", credential, shape)
		}
		if shape == abi.CredentialMistyped && !bytes.HasPrefix(credential, []byte(DefaultPrefix)) {
			t.Fatalf("%q counts as mistyped", credential)
		}
	})
}

func FuzzGeneratedKeysHaveTheirShape(f *testing.F) {
	f.Add("", make([]byte, 16))
	f.Add("sk-ant-", bytes.Repeat([]byte{0xff}, 16))
	f.Fuzz(func(t *testing.T, prefix string, random []byte) {
		key, err := Generate(prefix, bytes.NewReader(random))
		if err != nil {
			return
		}
		if prefix == "" {
			prefix = DefaultPrefix
		}
		if !regexp.MustCompile("^[0-9A-Za-z]{28}$").MatchString(strings.TrimPrefix(key, prefix)) {
			t.Fatalf("%q is not %q and 28 digits", key, prefix)
		}
		if got := Shape([]byte(key)); got != abi.CredentialGenerated {
			t.Fatalf("%q has shape %d", key, got)
		}
	})
}

func TestGeneratedKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		key, err := Generate("", rand.Reader)
		if err != nil || seen[key] {
			t.Fatalf("%q again, or %v", key, err)
		}
		seen[key] = true
	}
}

func TestShapeAllocatesNothing(t *testing.T) {
	for _, credential := range []string{"aigw_000SYW7RiJxkEgOGusQGwp26KScI", "aigw_mistyped", "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"} {
		b := []byte(credential)
		if n := testing.AllocsPerRun(100, func() { Shape(b) }); n != 0 {
			t.Errorf("Shape(%q) allocates %v times, want 0", credential, n)
		}
	}
}

func BenchmarkShape(b *testing.B) {
	credential := []byte("aigw_000SYW7RiJxkEgOGusQGwp26KScI")
	b.ReportAllocs()
	for b.Loop() {
		Shape(credential)
	}
}
