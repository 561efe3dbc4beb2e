package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/sallyport-dev/sallyport/internal/durable"
	"github.com/sallyport-dev/sallyport/state"
	"github.com/spf13/cobra"
)

// stdout and stdin are how the standard output and input are named among files.
const (
	stdout = "-"
	stdin  = "-"
)

func newBackup() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write keys, teams and the ledger to a file",
		Long: "Write keys, teams and the ledger to a file, as they are at one moment: through the admin API while the gateway runs, from\n" +
			"its data folder while it does not. The request log is not in it. Keep it as safe as the data folder: it holds the secret\n" +
			"that keys are digested with, though no key. - is the standard output.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, file, func(ctl *control) error {
				return writeTo(c, args[0], func(out io.Writer) error { return ctl.Backup(c.Context(), out) })
			})
		},
	}
	addConfigFlag(c, &file)
	return c
}

// writeTo writes a file for its owner alone: under another name first, so that a part never has the name of the whole. What is
// no file, such as a pipe or a device, is written as it is.
func writeTo(c *cobra.Command, target string, write func(io.Writer) error) (err error) {
	if target == stdout {
		return write(c.OutOrStdout())
	}
	whole := func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if err := write(w); err != nil {
			return err
		}
		return w.Flush()
	}
	if info, missing := os.Stat(target); missing == nil && !info.Mode().IsRegular() {
		err = writeInto(target, whole)
	} else {
		err = durable.Write(target, "."+filepath.Base(target)+".", 0o600, whole)
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("writing %s: %w", target, failed.Err) // nobody knows the other name
	} else if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "wrote %s\n", target)
	return err
}

// writeInto writes to what is there already.
func writeInto(target string, write func(*os.File) error) error {
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func newRestore() *cobra.Command {
	var file, data string
	c := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make a data folder from a backup",
		Long: "Make a data folder from a backup. The folder must be empty or not be there yet. A backup that is damaged or not whole is\n" +
			"refused, and leaves nothing behind. - is the standard input.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			options := state.Options{Log: slog.New(slog.DiscardHandler)}
			if data == "" {
				snapshot, err := loadForControl(file)
				if err != nil {
					return err
				}
				data, options = snapshot.Data, stateOptions(snapshot, options.Log)
			}
			from := c.InOrStdin()
			if args[0] != stdin {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				from = f
			}
			err := state.Restore(c.Context(), data, bufio.NewReaderSize(from, 1<<20), options)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "restored %s\n", data)
			return err
		},
	}
	addConfigFlag(c, &file)
	c.Flags().StringVar(&data, "data", "", "the data `folder` to make, in place of the configuration's")
	return c
}
