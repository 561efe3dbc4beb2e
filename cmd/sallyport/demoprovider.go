package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sallyport-dev/sallyport/internal/demo"
	"github.com/spf13/cobra"
)

func newDemoProvider() *cobra.Command {
	var listen string
	var options demo.Options
	c := &cobra.Command{
		Use:   "demo-provider",
		Short: "Run a provider that needs no account",
		Long: "Run a provider that needs no account and no network: it speaks all three formats, streams, and answers the same\n" +
			"to the same request.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "demo provider on http://%s\n", l.Addr()); err != nil {
				return err
			}
			return serveHTTP(c.Context(), l, demo.Handler(options))
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:9090", "the `address` to listen on")
	c.Flags().DurationVar(&options.FirstByte, "first-byte", 0, "wait so long before the answer begins")
	c.Flags().DurationVar(&options.Delay, "delay", 20*time.Millisecond, "wait so long between the events of a stream")
	c.Flags().StringVar(&options.Credential, "credential", "", "the API key that requests must have (default any)")
	return c
}

// serveHTTP serves on l until ctx is done.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stopped()
	if err := s.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}
