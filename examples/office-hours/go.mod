module example.org/office-hours

go 1.26.0

require github.com/sallyport-dev/sallyport/sdk/go v0.0.0

replace github.com/sallyport-dev/sallyport/sdk/go => ../../sdk/go
