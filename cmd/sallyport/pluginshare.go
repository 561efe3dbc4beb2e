package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

func newPluginPush() *cobra.Command {
	var flags storeFlags
	var sign signFlags
	c := &cobra.Command{
		Use:   "push DIR|FILE REF",
		Short: "Publish a policy in a registry or a shared folder",
		Long: "Publish a policy, or build a project and publish what came of it. REF is HOST/NAME:VERSION, or dir:///PATH/NAME@VERSION for\n" +
			"a folder; without a version it is the plugin's own. --key signs it too.",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := registry.ParseRef(args[1])
			if err != nil {
				return err
			}
			p, err := openPlugin(c, args[0])
			if err != nil {
				return err
			}
			store, _, err := flags.open(c)
			if err != nil {
				return err
			}
			defer store.Close()
			var signature []byte
			if sign.key != "" { // before anything is published
				if signature, err = sign.sign(c, p.manifest.Name, p.manifest.Version, p.wasm); err != nil {
					return err
				}
			}
			pushed, err := store.Push(c.Context(), ref, registry.Artifact{Wasm: p.wasm})
			if err != nil {
				return err
			}
			if signature != nil {
				if _, err := store.Attach(c.Context(), pushed.Ref, pushed.ManifestDigest, lock.Attachment(signature)); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "pushed %s\n  wasm    %s\n  signed  %s\n", pushed.Ref, pushed.WasmDigest, yesNo(signature != nil))
			return err
		},
	}
	flags.add(c)
	sign.add(c)
	return c
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func newPluginPull() *cobra.Command {
	var flags storeFlags
	var output string
	c := &cobra.Command{
		Use:   "pull REF",
		Short: "Bring a policy from a registry or a shared folder",
		Long: "Bring a policy, write it as NAME.wasm into the current folder with its signature beside it, and print the line for\n" +
			"policies.yaml. What is written has the digest that the reference leads to; whether it is signed by somebody who is trusted\n" +
			"is said, and decides nothing: nothing is loaded.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := registry.ParseRef(args[0])
			if err != nil {
				return err
			}
			store, snapshot, err := flags.open(c)
			if err != nil {
				return err
			}
			defer store.Close()
			return pull(c, store, snapshot, ref, output)
		},
	}
	flags.add(c)
	c.Flags().StringVarP(&output, "output", "o", "", "the `file` to write (default NAME.wasm)")
	return c
}

func pull(c *cobra.Command, store *registry.Client, snapshot *config.Snapshot, ref registry.Ref, output string) error {
	a, err := store.Pull(c.Context(), ref)
	if err != nil {
		return err
	}
	if a.Away != nil {
		fmt.Fprintf(c.ErrOrStderr(), "the registry could not be asked, so this is what it had some time ago: %v\n", a.Away)
	}
	v, err := lock.Look(c.Context(), lock.Want{Name: a.Name(), Reference: ref.At(a.ManifestDigest).String()}, store, trustOf(snapshot))
	if err != nil {
		return err
	}
	file := cmp.Or(output, "./"+a.Name()+".wasm")
	if err := lock.Replace(file, a.Wasm); err != nil {
		return err
	}
	if err := pullSignature(c.Context(), store, ref, a.ManifestDigest, file); err != nil {
		return err
	}
	m := v.Report.Manifest
	if m == nil {
		m = &manifest.Manifest{Name: a.Name()}
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "pulled %s\n  file    %s\n  sha256  %s\n  signer  %s\n\nIts line for policies.yaml, under policies, as a file or as it is shared:\n  %s\n  %s\n",
		ref.At(a.ManifestDigest), file, v.Report.SHA256, signerText(v, len(trustOf(snapshot).Trust)), m.Entry(file), m.Entry(ref.String()))
	return err
}

// pullSignature writes a signature of minisign beside the file; an old one that is not of this file must not stay.
func pullSignature(ctx context.Context, store *registry.Client, ref registry.Ref, digest, file string) error {
	attached, err := store.Referrers(ctx, ref, digest, lock.ArtifactTypeMinisign)
	if err != nil {
		return err
	}
	if len(attached) > 0 {
		return lock.Replace(file+trust.SignatureSuffix, attached[len(attached)-1].Data)
	}
	if err := os.Remove(file + trust.SignatureSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// trustOf are the keys of a configuration, if there is one.
func trustOf(c *config.Snapshot) lock.Rules {
	if c == nil {
		return lock.Rules{}
	}
	return lock.Rules{Trust: c.Sources.Trust}
}

// signerText says who signed a version, for people.
func signerText(v *lock.Version, keys int) string {
	switch {
	case v.Unsigned != nil:
		return "nobody who is trusted: it " + v.Unsigned.Error()
	case keys == 0:
		return "not looked at: no key is trusted"
	default:
		return v.Signer.String()
	}
}

func newPluginList() *cobra.Command {
	var flags storeFlags
	c := &cobra.Command{
		Use:   "list REPO",
		Short: "List the versions of a shared policy",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := registry.ParseRef(args[0])
			if err != nil {
				return err
			}
			store, _, err := flags.open(c)
			if err != nil {
				return err
			}
			defer store.Close()
			tags, err := store.Tags(c.Context(), ref)
			if err != nil {
				return err
			}
			for _, tag := range tags {
				fmt.Fprintln(c.OutOrStdout(), tag)
			}
			return nil
		},
	}
	flags.add(c)
	return c
}

// lookAt looks into a file, or into what a reference leads to.
func lookAt(ctx context.Context, store *registry.Client, rules lock.Rules, target string) (*lock.Version, error) {
	w := lock.Want{Name: target, Reference: target}
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name its module, or sallyport plugin build makes one", target)
	case err == nil:
		if w.File, err = filepath.Abs(target); err != nil {
			return nil, err
		}
	default:
		ref, err := registry.ParseRef(target)
		if err != nil {
			return nil, fmt.Errorf("there is no file %s, and as a reference it is wrong: %w", target, err)
		}
		w.Reference = ref.String()
	}
	return lock.Look(ctx, w, store, rules)
}
