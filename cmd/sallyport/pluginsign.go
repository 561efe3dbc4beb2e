package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/project"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

// envPassword holds the password of a secret key where nobody can type it.
const envPassword = "SALLYPORT_SIGN_PASSWORD" //nolint:gosec // the name of one

// signFlags are how commands find a secret key.
type signFlags struct {
	key          string
	passwordFile string
}

func (f *signFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "the `file` of the secret key to sign with")
	f.addPassword(c)
}

func (f *signFlags) addPassword(c *cobra.Command) {
	c.Flags().StringVar(&f.passwordFile, "password-file", "", "a `file` with the secret key's password (default $"+envPassword+", else it is asked for)")
}

// sign signs with the key that the flags name.
func (f *signFlags) sign(c *cobra.Command, name, version string, wasm []byte) ([]byte, error) {
	text, err := os.ReadFile(filepath.Clean(f.key))
	if err != nil {
		return nil, err
	}
	password := ""
	if trust.IsEncrypted(text) {
		if password, err = f.password(c, false); err != nil {
			return nil, err
		}
	}
	k, err := trust.ParseSecretKey(text, password)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.key, err)
	}
	return k.Sign(name, version, wasm)
}

// password finds the password. A new one is typed twice.
func (f *signFlags) password(c *cobra.Command, isNew bool) (string, error) {
	if f.passwordFile != "" {
		text, err := os.ReadFile(filepath.Clean(f.passwordFile))
		return strings.TrimRight(string(text), "\r\n"), err
	}
	if password, ok := os.LookupEnv(envPassword); ok {
		return password, nil
	}
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !isTerminal(in) {
		return "", errNobody
	}
	lines := bufio.NewReader(in)
	password, err := askSecret(c, in, lines, "Password of the secret key: ")
	if err != nil || !isNew {
		return password, err
	}
	again, err := askSecret(c, in, lines, "Once more: ")
	if err == nil && again != password {
		err = errors.New("the two differ")
	}
	return password, err
}

var errNobody = errors.New("the secret key needs its password, and there is nobody to ask: --password-file or $" + envPassword + " hold it")

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// askSecret reads a line from a terminal that does not show it.
func askSecret(c *cobra.Command, in *os.File, lines *bufio.Reader, question string) (string, error) {
	echo := func(mode string) error {
		stty := exec.CommandContext(context.WithoutCancel(c.Context()), "stty", mode)
		stty.Stdin = in
		return stty.Run()
	}
	if echo("-echo") != nil {
		return "", errNobody // a device of another kind, or no way to hide what is typed
	}
	fmt.Fprint(c.ErrOrStderr(), question)
	line, err := lines.ReadString('\n')
	fmt.Fprintln(c.ErrOrStderr())
	return strings.TrimRight(line, "\r\n"), errors.Join(err, echo("echo"))
}

func newPluginKeygen() *cobra.Command {
	var flags signFlags
	var output string
	var open bool
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make a pair of keys to sign policies with",
		Long: "Make a pair of keys to sign policies with, as minisign has them: NAME.key is the secret one, which stays with you, and\n" +
			"NAME.pub goes to those who are to trust you. Files that are there already are left as they are.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			password := ""
			if !open {
				var err error
				if password, err = flags.password(c, true); err != nil {
					return err
				}
				if password == "" {
					return errors.New("an empty password protects nothing: --no-password leaves the key unencrypted")
				}
			}
			k, err := trust.NewSecretKey()
			if err != nil {
				return err
			}
			secret, err := k.Encode(password)
			if err != nil {
				return err
			}
			if err := writeNew(output+".key", secret, 0o600); err != nil {
				return err
			}
			if err := writeNew(output+".pub", k.Public().Encode(), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wrote %[1]s.key, which is secret, and %[1]s.pub\n\nThe line for policies.yaml of those who trust you, under trust:\n  - {name: NAME, key: %[2]s, names: [PLUGIN, \"TEAM/*\"]}\n",
				output, k.Public().ID())
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "sallyport", "the `name` of the files, without .key and .pub")
	c.Flags().BoolVar(&open, "no-password", false, "leave the secret key unencrypted")
	flags.addPassword(c)
	return c
}

// writeNew writes a file that is not there yet.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func newPluginSign() *cobra.Command {
	var flags signFlags
	var name, number string
	c := shops(&cobra.Command{
		Use:   "sign FILE|REF --key KEYFILE",
		Short: "Sign a policy",
		Long: "Sign a policy: a file, whose signature is written beside it as FILE.minisig, or one that is shared, whose signature is put\n" +
			"beside it there. The signature binds the plugin's name, its version and its bytes. minisign -V reads it too.",
		Args: cobra.ExactArgs(1),
	}, func(s *shopping) error {
		content, v, err := s.toSign(s.args[0])
		if err != nil {
			return err
		}
		if v != nil && v.Name() != "" {
			name, number = v.Name(), v.Number()
		}
		signature, err := flags.sign(s.Command, name, number, content)
		if err != nil {
			return err
		}
		where := s.args[0] + trust.SignatureSuffix
		if v != nil && v.Manifest != "" {
			ref, err := registry.ParseRef(v.Reference)
			if err != nil {
				return err
			}
			if _, err := s.store.Attach(s.Context(), ref, v.Manifest, lock.Attachment(signature)); err != nil {
				return err
			}
			where = ref.At(v.Manifest).String()
		} else if err := lock.Replace(where, signature); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.OutOrStdout(), "signed %s %s, %s\n  in  %s\n", name, number, trust.Digest(content), where)
		return err
	})
	flags.add(c)
	c.Flags().StringVar(&name, "name", "", "the `name` of a policy that has no manifest")
	c.Flags().StringVar(&number, "as-version", "", "the `version` of a policy that has no manifest")
	_ = c.MarkFlagRequired("key") // it is there
	return c
}

// toSign returns what is to be signed: a module that was looked into, whoever signed it before, or a script.
func (s *shopping) toSign(target string) ([]byte, *lock.Version, error) {
	if strings.HasSuffix(target, ".js") {
		content, err := os.ReadFile(filepath.Clean(target))
		return content, nil, err
	}
	s.rules = lock.Rules{}
	v, err := s.look(target)
	if err != nil {
		return nil, nil, err
	}
	return v.Content, v, nil
}

func newPluginVerify() *cobra.Command {
	var keys []string
	var rebuild string
	c := shops(&cobra.Command{
		Use:   "verify FILE|REF",
		Short: "Tell who signed a policy, and whether it comes from its source",
		Long: "Tell who signed a policy, by the keys of trust in policies.yaml or those that --key names. It fails where nobody did who is\n" +
			"trusted. --rebuild builds a project and tells whether the policy is what comes of it, to the byte.",
		Args: cobra.ExactArgs(1),
	}, func(s *shopping) (err error) {
		if len(keys) > 0 {
			if s.rules.Trust, err = keysOf(keys); err != nil {
				return err
			}
		}
		if len(s.rules.Trust) == 0 && rebuild == "" {
			return errors.New("no key is trusted: --key names one, or policies.yaml under trust")
		}
		v, err := s.look(s.args[0])
		if err != nil {
			return err
		}
		if v.Unsigned != nil {
			return fmt.Errorf("%s %w", s.args[0], v.Unsigned)
		}
		if len(s.rules.Trust) > 0 {
			fmt.Fprintf(s.OutOrStdout(), "%s %s is signed by %s\n", v.Name(), v.Number(), v.Signer)
		}
		if rebuild == "" {
			return nil
		}
		return verifySource(s.Command, v, rebuild)
	})
	c.Flags().StringArrayVar(&keys, "key", nil, "a public `key` or its file, trusted for all names; may be given several times")
	c.Flags().StringVar(&rebuild, "rebuild", "", "build this `folder` and compare")
	return c
}

// keysOf reads keys that are trusted for everything.
func keysOf(texts []string) (all trust.Policy, err error) {
	for _, text := range texts {
		content := []byte(text)
		if !trust.IsKeyText(text) {
			f, err := os.Open(filepath.Clean(text))
			if err != nil {
				return nil, err
			}
			content, err = io.ReadAll(io.LimitReader(f, 1<<20))
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
		}
		k, err := trust.ParsePublicKey(content)
		if err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
		all = append(all, trust.Key{Public: k, Names: []string{"*"}})
	}
	return all, nil
}

// verifySource builds a project, and tells whether a policy is what came of it. The revision is the one that the policy says: the
// same source is the same source in a folder that git knows nothing of.
func verifySource(c *cobra.Command, v *lock.Version, dir string) error {
	var said manifest.Manifest
	if v.Report != nil && v.Report.Manifest != nil {
		said = *v.Report.Manifest
	}
	scratch, err := os.MkdirTemp("", "sallyport-verify-") // what is in the folder stays as it is
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what is left is in nobody's way
	built, err := buildProject(c, dir, project.Options{Out: filepath.Join(scratch, "policy.wasm"), Revision: &said.Revision})
	if err != nil {
		return err
	}
	if digest := trust.Digest(built.Wasm); digest != v.Wasm {
		with := ""
		if built.Manifest.Toolchain != said.Toolchain {
			with = fmt.Sprintf("; it was built with %q, and this is %q", said.Toolchain, built.Manifest.Toolchain)
		}
		return fmt.Errorf("%s is not what comes of %s: it has the digest %s, and the build %s%s", v.Reference, dir, v.Wasm, digest, with)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s comes from %s: both are %s\n", v.Reference, dir, v.Wasm)
	if here := project.Revision(c.Context(), dir); here != said.Revision {
		fmt.Fprintf(c.OutOrStdout(), "  it says that its source is revision %s, and the folder is %s\n", cmp.Or(said.Revision, "none"), cmp.Or(here, "in no repository"))
	}
	return nil
}
