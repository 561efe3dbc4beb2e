package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/lock"
	"github.com/sallyport-dev/sallyport/plugin/registry"
)

func newPluginBundle() *cobra.Command {
	c, _ := lockCommand(&cobra.Command{
		Use:   "bundle FILE.tar|DIR",
		Short: "Pack all shared policies that the lock names, for where there is no network",
		Long: "Pack all shared policies that the lock names, with their signatures, into an archive or a folder in the layout of OCI\n" +
			"images. Take it to the other side with policies.yaml and plugins.lock: sallyport plugin import unpacks it there.",
		Args: cobra.ExactArgs(1),
	}, func(l *locksmith, args []string) error {
		var all []registry.Bundled
		for i := range l.file.Plugins {
			e := &l.file.Plugins[i]
			if e.Manifest == "" {
				l.say("%s is a file: take it along", e.Name)
				continue
			}
			ref, err := registry.ParseRef(e.Reference)
			if err != nil {
				return err
			}
			ref.Digest = e.Manifest
			b, err := l.store.Collect(l.c.Context(), ref)
			if err != nil {
				return fmt.Errorf("policy %q: %w", e.Name, err)
			}
			l.say("%s: %s, signatures: %d", e.Name, ref, len(lock.Signatures(b.Attachments)))
			all = append(all, b)
		}
		if len(all) == 0 {
			return errors.New("plugins.lock names no shared policy: there is nothing to pack")
		}
		return registry.WriteLayout(args[0], all)
	})
	return c
}

func newPluginImport() *cobra.Command {
	c, _ := lockCommand(&cobra.Command{
		Use:   "import FILE.tar|DIR",
		Short: "Unpack what plugin bundle packed, so that the gateway starts from it",
		Args:  cobra.ExactArgs(1),
	}, func(l *locksmith, args []string) error {
		all, err := registry.ReadLayout(l.c.Context(), args[0], registry.Limits{})
		if err != nil {
			return err
		}
		if err := l.store.Import(all); err != nil {
			return err
		}
		for i := range all {
			a := &all[i].Artifact
			l.say("%s: %s, signatures: %d", a.Name(), a.Ref, len(lock.Signatures(all[i].Attachments)))
		}
		return nil
	})
	return c
}
