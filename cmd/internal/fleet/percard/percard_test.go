package percard

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A card is a simulated card: the rate and the load that it has with each number of engines.
type card struct {
	rate, load []float64
	loop       float64
	free       uint64
}

// play lets a decider look at a card once a second until it has settled, and returns when each action
// came. change may alter a reading before it is looked at.
func play(t *testing.T, d *Decider, c card, change func(second int, r *Reading)) (actions []Action, seconds []int, why string) {
	t.Helper()
	at, tokens := time.Unix(1000, 0), 0.0
	for i := range 600 {
		n := min(d.Engines(), len(c.rate))
		at = at.Add(time.Second)
		tokens += c.rate[n-1]
		r := Reading{At: at, Full: true, Tokens: tokens, Load: c.load[n-1], Waiting: 100, Loop: c.loop, Free: c.free}
		if change != nil {
			change(i, &r)
		}
		var a Action
		if a, why = d.Look(r); a != Keep {
			actions, seconds = append(actions, a), append(seconds, i)
		}
		if d.Settled() != "" {
			return actions, seconds, why
		}
	}
	return actions, seconds, why
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const gibs = 1 << 30
	for _, tt := range []struct {
		name    string
		most    int
		card    card
		change  func(second int, r *Reading)
		engines int
		last    Action
		why     string
	}{
		// The rates and loads measured on an H200 with a model of 135 million weights.
		{"a small model", 3, card{[]float64{14602, 27950, 28984}, []float64{42, 90, 81}, 1.02, 60 * gibs}, nil, 2, Settle, "busy 90 %"},
		{"three are worth it", 3, card{[]float64{10000, 19000, 26000}, []float64{20, 40, 60}, 1, 60 * gibs}, nil, 3, Settle, "most allowed"},
		{"a full card", 3, card{[]float64{10000, 10500}, []float64{97, 100}, 1, 60 * gibs}, nil, 1, Settle, "busy 97 %"},
		{"the second gains little", 3, card{[]float64{10000, 11400}, []float64{50, 60}, 1, 60 * gibs}, nil, 1, Drop, "gained 14 %, want 15"},
		{"the second costs", 3, card{[]float64{10000, 8000}, []float64{50, 60}, 1, 60 * gibs}, nil, 1, Drop, "gained -20 %"},
		{"just enough", 2, card{[]float64{10000, 11600}, []float64{50, 60}, 1, 60 * gibs}, nil, 2, Settle, "most allowed"},
		{"the third gains little", 3, card{[]float64{10000, 15000, 15500}, []float64{30, 50, 55}, 1, 60 * gibs}, nil, 2, Drop, "engine 3 of the card gained 3 %"},
		{"no memory is free", 3, card{[]float64{10000, 20000}, []float64{30, 60}, 1, 2 * gibs}, nil, 1, Settle, "2.0 GiB of the card are free, another engine needs 24.0"},
		{"something else holds it back", 3, card{[]float64{10000, 20000}, []float64{30, 60}, 0.4, 60 * gibs}, nil, 1, Settle, "0.40 of a processor"},
		{"no load is told", 3, card{[]float64{10000, 20000}, []float64{Unknown, Unknown}, 1, 60 * gibs}, nil, 1, Settle, "does not tell the card's load"},
		{"no loop is told", 2, card{[]float64{10000, 20000}, []float64{40, 80}, Unknown, 60 * gibs}, nil, 2, Settle, "most allowed"},
		{"one is allowed", 1, card{[]float64{10000}, []float64{10}, 1, 60 * gibs}, nil, 1, Settle, "most allowed"},
		{
			"too little work to measure", 3,
			card{[]float64{10000, 20000}, []float64{30, 60}, 1, 60 * gibs},
			func(_ int, r *Reading) { r.Full = false }, 1, Keep, "has a full batch",
		},
		{
			"gaps in the work", 2,
			card{[]float64{10000, 20000}, []float64{30, 60}, 1, 60 * gibs},
			func(i int, r *Reading) { r.Full = i%20 != 0 }, 2, Settle, "most allowed",
		},
		{
			"work for half the time", 3,
			card{[]float64{10000, 20000}, []float64{30, 60}, 1, 60 * gibs},
			func(i int, r *Reading) { r.Full = i%10 < 5 }, 1, Keep, "",
		},
		{
			"a restart in the window", 2,
			card{[]float64{10000, 20000}, []float64{30, 60}, 1, 60 * gibs},
			func(i int, r *Reading) {
				if i >= 10 {
					r.Tokens -= 100000 // counted anew
				}
			}, 2, Settle, "most allowed",
		},
		{
			"a clock that was set back", 2,
			card{[]float64{10000, 20000}, []float64{30, 60}, 1, 60 * gibs},
			func(i int, r *Reading) {
				if i >= 10 {
					r.At = r.At.Add(-time.Hour)
				}
			}, 2, Settle, "most allowed",
		},
	} {
		d := &Decider{Most: tt.most, Why: "most allowed", Need: 24 * gibs}
		actions, seconds, why := play(t, d, tt.card, tt.change)
		last := Keep
		if len(actions) > 0 {
			last = actions[len(actions)-1]
		}
		if d.Engines() != tt.engines || last != tt.last || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %d engines after %v at %v s, because %q; want %d, %v, %q; measured %+v", tt.name, d.Engines(), actions, seconds, why, tt.engines, tt.last, tt.why, d.Steps())
		}
		for _, s := range d.Steps() {
			if want := tt.card.rate[s.Engines-1]; math.Abs(s.TokensPer-want) > 1 {
				t.Errorf("%s: measured %.0f tokens/s with %d, want %.0f", tt.name, s.TokensPer, s.Engines, want)
			}
		}
	}
}

// TestDecideNoise wants a card whose rate varies as 512 sequences do never to lose an engine that gains
// 60 %, and never to keep one that costs something.
func TestDecideNoise(t *testing.T) {
	t.Parallel()
	for seed := range 200 {
		noise := func(i int, r *Reading) { r.Tokens += 4000 * math.Sin(float64(i*(seed+3))) }
		good := &Decider{Most: 2, Why: "most"}
		play(t, good, card{[]float64{10000, 16000}, []float64{30, 60}, 1, 1 << 40}, noise)
		bad := &Decider{Most: 2, Why: "most"}
		play(t, bad, card{[]float64{10000, 9800}, []float64{30, 60}, 1, 1 << 40}, noise)
		if good.Engines() != 2 || bad.Engines() != 1 {
			t.Fatalf("seed %d: %d and %d engines, want 2 and 1", seed, good.Engines(), bad.Engines())
		}
	}
}

// TestDecideDrift plays cards on a machine whose pace changes while an engine loads, as it did between two
// and three engines on an H200: 48,752 tokens a second with two, 33,500 with the same two just before the
// third served, 43,885 with three.
func TestDecideDrift(t *testing.T) {
	t.Parallel()
	const load = 33 // seconds
	slows := func(i int) float64 { return min(1.2, max(0.87, 1.2-0.01*float64(i-62))) }
	gathers := func(i int) float64 { return min(1.2, max(0.87, 0.87+0.01*float64(i-62))) }
	steady := func(int) float64 { return 1 }
	for _, tt := range []struct {
		name    string
		rate    []float64
		pace    func(second int) float64
		loads   float64 // pace of the others while one loads
		engines int
		why     string
	}{
		{"the machine slows down", []float64{18000, 40000, 50000}, slows, 1, 3, "most"},
		{"it slows down beside one that gains nothing", []float64{18000, 40000, 41000}, slows, 1, 2, "engine 3"},
		{"it gathers pace beside one that gains nothing", []float64{18000, 40000, 41000}, gathers, 1, 2, "engine 3"},
		{"loading slows the others down, and one costs", []float64{18000, 14400}, steady, 0.6, 1, "engine 2 of the card gained -20 %"},
		{"loading slows the others down a little", []float64{18000, 36000, 38000}, steady, 0.95, 2, "engine 3 of the card gained 11 %"},
	} {
		d := &Decider{Most: 3, Why: "most"}
		at, tokens, serving, since := time.Unix(1000, 0), 0.0, 1, 0
		for i := 0; i < 600 && d.Settled() == ""; i++ {
			at = at.Add(time.Second)
			loading := serving < d.Engines()
			pace := tt.pace(i)
			if loading {
				pace *= tt.loads
			}
			tokens += tt.rate[serving-1] * pace
			a, _ := d.Look(Reading{At: at, Full: !loading, Loading: loading, Tokens: tokens, Load: 50, Loop: 1, Free: 1 << 40})
			if a == Add {
				since = i
			}
			if loading && i-since == load {
				serving++
			}
		}
		if d.Engines() != tt.engines || !strings.Contains(d.Settled(), tt.why) {
			t.Errorf("%s: %d engines, because %q; want %d, %q; measured %+v", tt.name, d.Engines(), d.Settled(), tt.engines, tt.why, d.Steps())
		}
	}
}

// TestDecideBefore wants a rate before an engine that is too short to tell, or broken by a restart, left
// out of what is decided by.
func TestDecideBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(second int, r *Reading)
		want   float64
	}{
		{"long enough", func(int, *Reading) {}, 500},
		{"too short", func(i int, r *Reading) { r.Loading = i > 15 }, 0},
		{"a restart", func(i int, r *Reading) { r.Tokens -= 1e6 * float64(i/16) }, 0},
		{"a restart long before", func(i int, r *Reading) { r.Tokens -= 1e6 * float64(min(i/3, 1)) }, 500},
		{"a gap", func(i int, r *Reading) { r.Loading = i < 3 || i > 12; r.Tokens += 1e5 * float64(min(i/12, 1)) }, 500},
	} {
		var d Decider
		for i := range 20 {
			r := Reading{At: time.Unix(int64(i), 0), Loading: true, Tokens: 2e6 + 500*float64(i)}
			tt.change(i, &r)
			d.note(r)
		}
		if got := d.rateBefore(); math.Abs(got-tt.want) > 1 {
			t.Errorf("%s: rateBefore = %.0f, want %.0f", tt.name, got, tt.want)
		}
	}
}

// TestLost wants the number of engines settled by the end of one, whenever that comes.
func TestLost(t *testing.T) {
	t.Parallel()
	d := &Decider{Most: 3}
	d.Lost(0, "it broke")
	if a, why := d.Look(Reading{Full: true}); a != Keep || d.Engines() != 1 || why != "an engine ended: it broke" {
		t.Errorf("Look after the end of an engine = %v, %q with %d engines", a, why, d.Engines())
	}
}

// model writes a model's folder whose weights take so many bytes, and returns it.
func model(t *testing.T, config string, weights int64) string {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600)
	if err == nil && weights > 0 {
		if err = os.WriteFile(filepath.Join(dir, "model.safetensors"), nil, 0o600); err == nil {
			err = os.Truncate(filepath.Join(dir, "model.safetensors"), weights)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	qwen = `{"num_hidden_layers":28,"num_attention_heads":16,"num_key_value_heads":8,"head_dim":128,"hidden_size":1024,"intermediate_size":3072,"vocab_size":151936}`
	smol = `{"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"hidden_size":576,"intermediate_size":1536,"vocab_size":49152}`
)

func TestFit(t *testing.T) {
	t.Parallel()
	h100 := Card{Total: 80 << 30, Share: 0.95, Sequences: 512, StepTokens: 32768, Answer: 500, Longest: 2182}
	small := h100
	small.Total = 24 << 30
	for _, tt := range []struct {
		name    string
		config  string
		weights int64
		card    Card
		perKiB  uint64 // of a token
		n       int
		why     string
	}{
		{"135 million on 80 GiB", smol, 270 << 20, h100, 22, 3, "3 engines are the most"},
		{"0.6 billion on 80 GiB", qwen, 1500 << 20, h100, 112, 2, "with 3 engines each has room for"},
		{"0.6 billion on 24 GiB", qwen, 1500 << 20, small, 112, 1, "memory: with 2 engines each has room for"},
		{"135 million on 24 GiB", smol, 270 << 20, small, 22, 2, "with 3 engines"},
	} {
		s, err := ReadShape(model(t, tt.config, tt.weights))
		if err != nil || s.PerToken>>10 != tt.perKiB || s.Weights != uint64(tt.weights) { //nolint:gosec // it is positive
			t.Errorf("%s: shape %+v, %v, want %d KiB a token", tt.name, s, err, tt.perKiB)
			continue
		}
		if n, why := s.Fit(Most, tt.card); n != tt.n || !strings.Contains(why, tt.why) {
			t.Errorf("%s: Fit = %d, %q, want %d, %q", tt.name, n, why, tt.n, tt.why)
		}
	}
	s, err := ReadShape(model(t, qwen, 1500<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Refuse(2, small); err != nil {
		t.Errorf("two engines on 24 GiB: %v", err)
	}
	if err := s.Refuse(4, small); err == nil || !strings.Contains(err.Error(), "one sequence takes up to 2182\nask for fewer") {
		t.Errorf("four engines on 24 GiB: %v, want refused with the numbers", err)
	}
	for n := 1; n <= 8; n++ {
		if all := float64(n) * h100.Each(n); all > h100.Share {
			t.Errorf("%d engines claim %v of the card, want at most %v", n, all, h100.Share)
		}
	}
}

func TestReadShapeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		config  string
		weights int64
		want    string
	}{
		{"{", 1, "config.json"},
		{"{}", 1, "no layers"},
		{`{"num_hidden_layers":-1}`, 1, "no size of a model"},
		{`{"num_hidden_layers":16777216,"num_attention_heads":16777216,"hidden_size":16777216}`, 1, "no model's"},
		{qwen, 0, "no weights"},
	} {
		if s, err := ReadShape(model(t, tt.config, tt.weights)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ReadShape(%s) = %+v, %v, want %q", tt.config, s, err, tt.want)
		}
	}
	if _, err := ReadShape(t.TempDir()); err == nil {
		t.Error("ReadShape of an empty folder: no error")
	}
	if s, err := ReadShape(model(t, `{"text_config":`+qwen+`}`, 1)); err != nil || s.PerToken != 112<<10 {
		t.Errorf("ReadShape of a model that sees = %+v, %v", s, err)
	}
}

func TestFitProcessors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ most, cards, have, want int }{
		{3, 1, 16, 3}, {3, 1, 4, 2}, {3, 1, 2, 1}, {3, 8, 128, 3}, {3, 8, 16, 1}, {3, 8, 24, 2}, {1, 0, 1, 1},
	} {
		n, why := FitProcessors(tt.most, tt.cards, tt.have)
		if n != tt.want || (why == "") != (n == tt.most && tt.have > 1) {
			t.Errorf("FitProcessors(%d, %d, %d) = %d, %q, want %d", tt.most, tt.cards, tt.have, n, why, tt.want)
		}
	}
}

// TestDecideWork wants an engine added only where the work left lasts long enough for it: twice what an
// engine loads on a card that is idle most of the time, ten times on a busier one. More work than there
// was at first is seen.
func TestDecideWork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		load, left  float64 // of the card, and seconds of work at its rate
		comes       float64 // seconds of work from second 40 on; 0 is left
		engines     int
		waits, last string
	}{
		{"long", 20, 1000, 0, 2, "", "most"},
		{"not known", 20, 0, 0, 2, "", "most"},
		{"just enough for an idle card", 20, 121, 0, 2, "", "most"},
		{"too little for an idle card", 20, 119, 0, 1, "the work left takes 119 s, and another engine on a card that is busy 20 % of the time wants 2 times the 60 s", ""},
		{"just enough for a busy card", 73, 601, 0, 2, "", "most"},
		{"too little for a busy card", 73, 599, 0, 1, "wants 10 times the 60 s that it loads", ""},
		{"more work comes", 73, 61, 700, 2, "", "most"},
	} {
		d := &Decider{Most: 2, Why: "most"}
		c := card{[]float64{20000, 30000}, []float64{tt.load, 95}, 1, 1 << 40}
		_, _, why := play(t, d, c, func(i int, r *Reading) {
			left := tt.left
			if tt.comes > 0 && i >= 40 {
				left = tt.comes
			}
			r.Left, r.Loads = left*20000, time.Minute
		})
		if d.Engines() != tt.engines || d.Settled() != tt.last || !strings.Contains(d.Waits(), tt.waits) || tt.waits == "" && d.Waits() != "" {
			t.Errorf("%s: %d engines, settled %q, waits %q, said %q; want %d, %q, %q", tt.name, d.Engines(), d.Settled(), d.Waits(), why, tt.engines, tt.last, tt.waits)
		}
		for i, s := range d.Steps() {
			if s.Engines != i+1 {
				t.Errorf("%s: step %d of %d is of %d engines, want one step for each number", tt.name, i, len(d.Steps()), s.Engines)
			}
		}
	}
}

// TestDecideKeeps wants an engine that has proved itself kept while the card waits for work that is worth
// another, though the rate has fallen meanwhile.
func TestDecideKeeps(t *testing.T) {
	t.Parallel()
	d := &Decider{Most: 3, Why: "most"}
	actions, _, _ := play(t, d, card{[]float64{10000, 20000, 30000}, []float64{20, 40, 60}, 1, 1 << 40}, func(i int, r *Reading) {
		r.Left, r.Loads = 1e9, time.Minute
		if i > 20 {
			r.Left = 1e4
		}
		if i > 40 {
			r.Tokens -= float64(i-40) * 10000 // half of the rate with two
		}
	})
	if d.Engines() != 2 || len(actions) != 1 || actions[0] != Add || d.Settled() != "" || d.Waits() == "" {
		t.Errorf("%d engines after %v, settled %q, waits %q; want two, kept", d.Engines(), actions, d.Settled(), d.Waits())
	}
}
