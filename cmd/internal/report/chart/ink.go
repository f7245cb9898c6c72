package chart

import (
	"fmt"
	"image/color"
	"strconv"
	"strings"
)

// An Ink is a colour by its role. Each has a value for light and one for dark
// surroundings.
type Ink string

// The inks of frames and text.
const (
	Paper  Ink = "paper"  // behind everything
	Text   Ink = "text"   // titles, values
	Muted  Ink = "muted"  // axis numbers, what is less certain
	Grid   Ink = "grid"   // hairlines
	Shade  Ink = "shade"  // regions to be wary of
	Accent Ink = "accent" // the one thing to see
)

// RampSteps and HeatSteps are how many inks Ramp and Heat can return.
const (
	RampSteps = 16
	HeatSteps = 8
)

// Series returns the ink of the i-th of a few series. The colours are those of
// Okabe and Ito, which people with any colour vision can tell apart.
func Series(i int) Ink { return Ink("s" + strconv.Itoa(i%len(series))) }

// Ramp returns an ink from cold to hot for a share of 0 to 1.
func Ramp(share float64) Ink { return Ink("r" + strconv.Itoa(step(share, RampSteps))) }

// Heat returns the ink of a field whose strength is step 0 to HeatSteps-1, and
// HeatText that of letters on it.
func Heat(step int) Ink { return Ink("h" + strconv.Itoa(step)) }

// HeatText returns the ink of letters on Heat(step).
func HeatText(step int) Ink { return Ink("ht" + strconv.Itoa(step)) }

// Class returns the i-th ink for the parts of a whole.
func Class(i int) Ink { return Ink("c" + strconv.Itoa(i%len(classes))) }

func step(share float64, steps int) int {
	return max(0, min(steps-1, int(share*float64(steps-1)+0.5)))
}

// A tone is a colour, light and dark.
type tone struct{ light, dark string }

var (
	frame = map[Ink]tone{
		Paper: {"#ffffff", "#14171c"}, Text: {"#1d2127", "#e8eaee"}, Muted: {"#666d78", "#9aa2ae"},
		Grid: {"#e4e7ec", "#2a2f38"}, Shade: {"#f1f3f6", "#1d2129"}, Accent: {"#0b62a8", "#6cb6f5"},
	}
	series = []tone{
		{"#0072b2", "#56b4e9"},
		{"#c85200", "#f28e4c"},
		{"#00805d", "#3fc79e"},
		{"#a8548a", "#df9bc6"},
		{"#7a6200", "#e3c54a"},
		{"#4d5661", "#b4bcc8"},
	}
	cold = []tone{
		{"#2a3fb0", "#7f93ff"},
		{"#5a3fb8", "#a08bff"},
		{"#8a3ab0", "#c184f0"},
		{"#b53f93", "#e084cf"},
		{"#d35670", "#f490a4"},
		{"#dd7443", "#ffab7a"},
		{"#c98a12", "#ffd05e"},
	}
	heat = []tone{
		{"#f4f6f9", "#1b2028"},
		{"#e3edf8", "#1c2c3f"},
		{"#cadef2", "#1d3a57"},
		{"#a3c9e8", "#1f4d77"},
		{"#6fabd9", "#26659c"},
		{"#2f76b0", "#3f88c3"},
		{"#1c5a95", "#7ab5e4"},
		{"#0a3f78", "#bfe0fb"},
	}
	heatText = []tone{
		{"#666d78", "#9aa2ae"},
		{"#1d2127", "#e8eaee"},
		{"#1d2127", "#e8eaee"},
		{"#1d2127", "#e8eaee"},
		{"#10151c", "#ffffff"},
		{"#ffffff", "#06090d"},
		{"#ffffff", "#0c1219"},
		{"#ffffff", "#0c1219"},
	}
	classes = []tone{
		{"#00805d", "#2fae87"},
		{"#d9782f", "#d9782f"},
		{"#e8b53a", "#d9a62e"},
		{"#8c6bb1", "#a688cb"},
		{"#5b4b8a", "#7c6bb0"},
		{"#b8588f", "#c96ba1"},
		{"#7b1e4b", "#9c3f6c"},
		{"#8a929e", "#727a86"},
		{"#4a9fd0", "#4a9fd0"},
		{"#a63d2f", "#d4675a"},
		{"#1d2127", "#e8eaee"},
	}
)

// palette returns every ink with its tone, in a fixed order.
func palette() ([]Ink, map[Ink]tone) {
	order := []Ink{Paper, Text, Muted, Grid, Shade, Accent}
	tones := make(map[Ink]tone)
	for _, ink := range order {
		tones[ink] = frame[ink]
	}
	put := func(ink Ink, t tone) {
		order, tones[ink] = append(order, ink), t
	}
	for i, t := range series {
		put(Series(i), t)
	}
	for i := range RampSteps {
		put(Ink("r"+strconv.Itoa(i)), blend(cold, float64(i)/(RampSteps-1)))
	}
	for i := range HeatSteps {
		put(Heat(i), heat[i])
		put(HeatText(i), heatText[i])
	}
	for i, t := range classes {
		put(Class(i), t)
	}
	return order, tones
}

// blend returns the tone at a share of the way along tones.
func blend(tones []tone, share float64) tone {
	at := share * float64(len(tones)-1)
	i := min(int(at), len(tones)-2)
	mix := func(a, b string) string {
		x, y, f := parse(a), parse(b), at-float64(i)
		part := func(p, q uint8) int { return int(float64(p) + f*(float64(q)-float64(p)) + 0.5) }
		return fmt.Sprintf("#%02x%02x%02x", part(x.R, y.R), part(x.G, y.G), part(x.B, y.B))
	}
	return tone{mix(tones[i].light, tones[i+1].light), mix(tones[i].dark, tones[i+1].dark)}
}

// parse reads #rrggbb, the only form in this file.
func parse(s string) color.NRGBA {
	n, _ := strconv.ParseUint(strings.TrimPrefix(s, "#"), 16, 32) // the tones are constants
	return color.NRGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
}

// PageCSS returns the style rules for drawings within a page: a variable for each
// ink, light or dark as the reader's system or the attribute data-theme of the
// root says, and the classes that SVG uses.
func PageCSS() string {
	order, tones := palette()
	var light, dark, use strings.Builder
	for _, ink := range order {
		t := tones[ink]
		fmt.Fprintf(&light, "--%s:%s;", ink, t.light)
		fmt.Fprintf(&dark, "--%s:%s;", ink, t.dark)
		fmt.Fprintf(&use, ".f-%s{fill:var(--%s)}.k-%s{stroke:var(--%s)}", ink, ink, ink, ink)
	}
	return ":root{color-scheme:light;" + light.String() + "}\n" +
		"@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;" + dark.String() + "}}\n" +
		"@media screen{:root[data-theme=dark]{color-scheme:dark;" + dark.String() + "}}\n" + use.String() + "\n"
}

// fileCSS is PageCSS for a drawing alone: without variables, which few programs
// but browsers know, and only the inks that it uses.
func fileCSS(used map[Ink]bool) string {
	order, tones := palette()
	var light, dark strings.Builder
	for _, ink := range order {
		if t := tones[ink]; used[ink] {
			fmt.Fprintf(&light, ".f-%s{fill:%s}.k-%s{stroke:%s}", ink, t.light, ink, t.light)
			fmt.Fprintf(&dark, ".f-%s{fill:%s}.k-%s{stroke:%s}", ink, t.dark, ink, t.dark)
		}
	}
	return light.String() + "@media (prefers-color-scheme:dark){" + dark.String() + "}"
}
