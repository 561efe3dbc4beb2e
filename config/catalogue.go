package config

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/prices"
)

// prices reads the catalogue that replaces the embedded one. If anything is wrong with it, there is none: what it would
// have to say of models is no further problem.
func (l *loading) prices(v value) {
	l.catalogue = func() *prices.Catalog { return nil }
	var path string
	if !v.file(&path) {
		return
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		v.fail("there is no file %s", quote(v.written()))
		return
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if of, ok := errors.AsType[*fs.PathError](err); ok { // the path may hold the value of a variable
			err = of.Err
		}
		v.fail("%s cannot be read: %v", quote(v.written()), err)
		return
	}
	catalogue, err := prices.Parse(data)
	if err != nil {
		v.failAll(quote(v.written())+": ", err)
		return
	}
	l.snapshot.Prices = path
	l.catalogue = func() *prices.Catalog { return catalogue }
}

// embeddedCatalogue reads the catalogue of the binary. Many configurations state all their prices and never need it.
func (l *loading) embeddedCatalogue() *prices.Catalog {
	catalogue, err := prices.Embedded()
	if err != nil {
		l.report(nil, "", "reading the embedded catalogue of prices: %v", err)
		return nil
	}
	return catalogue
}

// catalogueID reads which provider of the catalogue has the prices of this one.
func (v value) catalogueID() string {
	id, ok := v.text()
	if !ok {
		return ""
	}
	catalogue := v.load.catalogue()
	if catalogue == nil {
		return ""
	}
	if ids := catalogue.Providers(); !slices.Contains(ids, id) {
		v.fail("the catalogue of prices has no provider %s%s", quote(v.written()), DidYouMean(v.written(), ids))
		return ""
	}
	return id
}

// catalogueTariff returns what a step costs by the catalogue; nil if that does not know it.
func (l *loading) catalogueTariff(step *Step) *prices.Tariff {
	p := step.Provider
	if p.Format == formats.NumFormats || step.Model == "" {
		return nil
	}
	catalogue := l.catalogue()
	if catalogue == nil {
		return nil
	}
	host, _, _ := net.SplitHostPort(p.Host) // host and port, or empty
	tariff, found := catalogue.Find(prices.Query{
		Name: p.Name, Host: strings.ToLower(host), Format: p.Format.String(), Catalog: p.Catalog, Model: step.Model,
	})
	if !found {
		return nil
	}
	return tariff
}

// source says of a price that it stands in the configuration, by the name of the file.
func (l *loading) source() string { return filepath.Base(l.snapshot.File) }

// PriceSource says where the price of an alias comes from.
type PriceSource struct {
	Alias    string
	Provider string // name of the provider
	Model    string // the provider's name of the model
	Source   string // for people, such as "policies.yaml"; "" for a model without a price
}

// PriceSources returns where the prices of all aliases come from, in the order of their names.
func (s *Snapshot) PriceSources() []PriceSource {
	var sources []PriceSource
	for _, name := range s.Names {
		chain := s.Chains[name]
		if !chain.Alias {
			continue
		}
		step := &chain.Steps[0]
		source := PriceSource{Alias: name, Provider: step.Provider.Name, Model: step.Model}
		if step.Tariff != nil {
			source.Source = step.Tariff.Source()
		}
		sources = append(sources, source)
	}
	return sources
}
