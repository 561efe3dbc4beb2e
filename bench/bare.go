package main

import (
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// serveBare is the least that a reverse proxy on fasthttp does: a pool of connections, the request's path, headers and
// body forwarded, the answer copied. It looks into nothing, counts nothing and keeps nothing, so what it costs is the
// floor of everything that is built on this library. With stream, an answer is passed on piece by piece.
func serveBare(l net.Listener, upstream string, stream bool) error {
	client := &fasthttp.HostClient{
		Addr: upstream, MaxConns: 16 << 10, StreamResponseBody: stream,
		NoDefaultUserAgentHeader: true, DisableHeaderNamesNormalizing: true, DisablePathNormalizing: true,
		MaxIdleConnDuration: time.Minute,
	}
	server := &fasthttp.Server{
		Handler: func(ctx *fasthttp.RequestCtx) {
			request, response := &ctx.Request, &ctx.Response
			request.Header.Del("Connection")
			request.SetHost(upstream)
			if err := client.Do(request, response); err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadGateway)
				return
			}
			response.Header.Del("Connection")
			response.ImmediateHeaderFlush = stream
		},
		MaxRequestBodySize: 32 << 20, NoDefaultServerHeader: true, NoDefaultDate: true, DisableHeaderNamesNormalizing: true,
	}
	return server.Serve(l)
}
