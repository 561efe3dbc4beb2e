module github.com/sallyport-dev/sallyport/hostfuncs/extism/testdata/go

go 1.26.0

require github.com/extism/go-pdk v1.1.3
