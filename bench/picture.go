package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// picture draws CPU time by scenario, a bar for each target, as SVG. Where nothing stands beside the bare proxy there is
// nothing to draw.
func (r *report) picture(file string) error {
	scenarios, targets := r.compared()
	if len(scenarios) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text = "CPU time of the proxy, beside a bare fasthttp proxy (1.0)"
	p.Y.Label.Text = "times the bare proxy"
	p.Y.Min = 0
	p.Y.Max = 1.4 * r.largest()              // so that the legend stands above the bars
	p.Legend.Top, p.Legend.Left = true, true // names behind their colours: who shows it may have a wider font
	p.Legend.Padding, p.Legend.XOffs = vg.Points(4), vg.Points(16)
	p.Title.Padding = vg.Points(8)
	const width = 18
	colours := []color.Color{
		color.RGBA{0x9a, 0xa5, 0xb1, 255}, color.RGBA{0x5b, 0x8e, 0x7d, 255}, color.RGBA{0xbc, 0x9a, 0x5c, 255}, color.RGBA{0x2f, 0x5d, 0x8c, 255},
	}
	for i, target := range targets {
		values := make(plotter.Values, len(scenarios))
		for j, scenario := range scenarios {
			values[j] = r.ratio(scenario, target)
		}
		bars, err := plotter.NewBarChart(values, vg.Points(width))
		if err != nil {
			return err
		}
		bars.LineStyle.Width = 0
		bars.Color = colours[i%len(colours)]
		bars.Offset = vg.Points(width * (float64(i) - float64(len(targets)-1)/2))
		p.Add(bars)
		p.Legend.Add(target, bars)
	}
	p.NominalX(scenarios...)
	p.X.Min, p.X.Max = -0.6, float64(len(scenarios))-0.4
	return p.Save(vg.Points(640), vg.Points(320), file)
}

// largest is the largest ratio in the picture.
func (r *report) largest() (most float64) {
	scenarios, targets := r.compared()
	for _, scenario := range scenarios {
		for _, target := range targets {
			most = max(most, r.ratio(scenario, target))
		}
	}
	return most
}

// compared are the scenarios with CPU time of several kinds of proxies, and these.
func (r *report) compared() (scenarios, targets []string) {
	seen := map[string]bool{}
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.What != cpuFigure(1) && f.What != cpuFigure(events) {
			continue
		}
		if f.Target == bareName {
			scenarios = append(scenarios, f.Scenario)
		}
		if len(scenarios) > 0 && f.Scenario == scenarios[len(scenarios)-1] && !seen[f.Target] {
			seen[f.Target] = true
			targets = append(targets, f.Target)
		}
	}
	return scenarios, targets
}

func (r *report) ratio(scenario, target string) float64 {
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.Scenario == scenario && f.Target == target && (f.What == cpuFigure(1) || f.What == cpuFigure(events)) {
			if target == bareName {
				return 1
			}
			return f.Ratio
		}
	}
	return 0
}
