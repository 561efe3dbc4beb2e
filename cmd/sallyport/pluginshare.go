package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/registry"
	"github.com/sallyport-dev/sallyport/plugin/trust"
)

func newPluginPush() *cobra.Command {
	var sign signFlags
	c := shops(&cobra.Command{
		Use:   "push DIR|FILE REF",
		Short: "Publish a policy in a registry or a shared folder",
		Long: "Publish a policy, or build a project and publish what came of it. REF is HOST/NAME:VERSION, or dir:///PATH/NAME@VERSION for\n" +
			"a folder; without a version it is the plugin's own. --key signs it too.",
		Args: cobra.ExactArgs(2),
	}, func(s *shopping) error {
		ref, err := registry.ParseRef(s.args[1])
		if err != nil {
			return err
		}
		p, err := openPlugin(s.Command, s.args[0])
		if err != nil {
			return err
		}
		var signature []byte
		if sign.key != "" { // before anything is published
			if signature, err = sign.sign(s.Command, p.manifest.Name, p.manifest.Version, p.wasm); err != nil {
				return err
			}
		}
		pushed, err := s.store.Push(s.Context(), ref, registry.Artifact{Wasm: p.wasm})
		if err != nil {
			return err
		}
		signed := "no: --key signs it, and so does sallyport plugin sign"
		if signature != nil {
			signed = "yes"
			if _, err := s.store.Attach(s.Context(), pushed.Ref, pushed.ManifestDigest, lock.Attachment(signature)); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(s.OutOrStdout(), "pushed %s\n  wasm    %s\n  signed  %s\n", pushed.Ref, pushed.WasmDigest, signed)
		return err
	})
	sign.add(c)
	return c
}

func newPluginPull() *cobra.Command {
	var output string
	c := shops(&cobra.Command{
		Use:   "pull REF",
		Short: "Bring a policy from a registry or a shared folder",
		Long: "Bring a policy, write it as NAME.wasm into the current folder with its signature beside it, and print the line for\n" +
			"policies.yaml. What is written has the digest that the reference leads to; whether it is signed by somebody who is trusted\n" +
			"is said, and decides nothing: nothing is loaded.",
		Args: cobra.ExactArgs(1),
	}, func(s *shopping) error { return s.pull(output) })
	c.Flags().StringVarP(&output, "output", "o", "", "the `file` to write (default NAME.wasm)")
	return c
}

func (s *shopping) pull(output string) error {
	ref, err := registry.ParseRef(s.args[0])
	if err != nil {
		return err
	}
	a, err := s.store.Pull(s.Context(), ref)
	if err != nil {
		return err
	}
	if a.Away != nil {
		fmt.Fprintf(s.ErrOrStderr(), "the registry could not be asked, so this is what it had some time ago: %v\n", a.Away)
	}
	pulled := ref.At(a.ManifestDigest)
	v, err := lock.Look(s.Context(), lock.Want{Name: a.Name(), Reference: pulled.String()}, s.store, s.rules)
	if err != nil {
		return err
	}
	file := cmp.Or(output, "./"+a.Name()+".wasm")
	if err := lock.Replace(file, a.Wasm); err != nil {
		return err
	}
	if err := pullSignature(s.Context(), s.store, ref, a.ManifestDigest, file); err != nil {
		return err
	}
	m := v.Report.Manifest
	if m == nil {
		m = &manifest.Manifest{Name: a.Name()}
	}
	_, err = fmt.Fprintf(s.OutOrStdout(), "pulled %s\n  file    %s\n  sha256  %s\n  signer  %s\n\nIts line for policies.yaml, under policies, as a file or as it is shared:\n  %s\n  %s\n",
		pulled, file, v.Report.SHA256, s.signerText(v), m.Entry(file), m.Entry(ref.String()))
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
	return shops(&cobra.Command{
		Use:   "list REPO",
		Short: "List the versions of a shared policy",
		Args:  cobra.ExactArgs(1),
	}, func(s *shopping) error {
		ref, err := registry.ParseRef(s.args[0])
		if err != nil {
			return err
		}
		tags, err := s.store.Tags(s.Context(), ref)
		if err != nil {
			return err
		}
		for _, tag := range tags {
			fmt.Fprintln(s.OutOrStdout(), tag)
		}
		return nil
	})
}
