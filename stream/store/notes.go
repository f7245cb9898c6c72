package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/stream"
	"github.com/lcbq/lcbq/stream/link"
)

// Workers add to a run's manifest what they know of its origin. They may not write manifests: each stage has
// a place of its own, and whoever reads a manifest sees both.

// JudgeStream holds the environment that each run is judged in, the first one for ever.
const JudgeStream = "JUDGES"

// JudgeSubject returns where the environment of a run's judge is kept.
func JudgeSubject(run string) string { return "judges." + run }

// Bounds of what an evaluator may note. It runs hostile programs.
const (
	mostNote        = 256 << 10 // bytes
	mostFingerprint = 128
)

// notes is what workers have noted of one run.
type notes struct {
	judge    judgeNote
	engine   *Provenance // without what is the judge's; nil if nothing is noted
	revision uint64      // of engine
}

// A judgeNote is the environment that judges a run.
type judgeNote struct {
	Fingerprint  string          `json:"fingerprint"`
	SandboxLevel string          `json:"sandbox_level"`
	Environment  json.RawMessage `json:"environment"`
	Host         string          `json:"host,omitempty"`
	Speed        float64         `json:"speed,omitempty"`
}

func declareJudges(ctx context.Context, js jetstream.JetStream, replicas int) error {
	_, err := link.Repeat(ctx, js.Conn(), func(ctx context.Context) (jetstream.Stream, error) {
		return js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: JudgeStream, Description: "the environment that each run is judged in", Subjects: []string{JudgeSubject("*")},
			Storage: jetstream.FileStorage, Replicas: replicas, AllowDirect: true, Duplicates: time.Second,
			MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgSize: mostNote,
		})
	})
	if err != nil {
		return fmt.Errorf("declare stream %s: %w", JudgeStream, err)
	}
	return nil
}

// addTo completes a manifest by notes.
func (n *notes) addTo(m *Manifest) {
	if m.Judge.Fingerprint == "" && n.judge.Fingerprint != "" {
		m.Judge.Fingerprint = n.judge.Fingerprint
		m.Provenance.SandboxLevel, m.Provenance.Environment = n.judge.SandboxLevel, n.judge.Environment
		m.Provenance.JudgeHost, m.Provenance.JudgeSpeed = n.judge.Host, n.judge.Speed
	}
	if n.engine != nil {
		judge := m.Provenance
		m.Provenance = *n.engine
		m.Provenance.SandboxLevel, m.Provenance.Environment = judge.SandboxLevel, judge.Environment
		m.Provenance.JudgeHost, m.Provenance.JudgeSpeed = judge.JudgeHost, judge.JudgeSpeed
	}
}

// setJudge takes a note of a judge over. One that no lcbq wrote counts as none.
func (n *notes) setJudge(text []byte) {
	var j judgeNote
	if len(text) <= mostNote && json.Unmarshal(text, &j) == nil && len(j.Fingerprint) <= mostFingerprint {
		n.judge = j
	}
}

// setEngine takes a note of a generator over.
func (n *notes) setEngine(text []byte, revision uint64) {
	n.revision = revision
	p := new(Provenance)
	if json.Unmarshal(text, p) == nil {
		n.engine = p
	}
}

// readNotes reads what workers have noted of a run.
func (s *Store) readNotes(ctx context.Context, m *Manifest) (n notes, err error) {
	if s.engines == nil {
		return n, nil
	}
	if m.Judge.Fingerprint == "" {
		var text []byte
		if text, err = s.lastJudge(ctx, m.ID); err != nil {
			return n, err
		}
		n.setJudge(text)
	}
	e, err := link.Repeat(ctx, s.conn, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return s.engines.Get(ctx, m.ID) })
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return n, nil
	case err != nil:
		return n, fmt.Errorf("read %s/%s: %w", enginesBucket, m.ID, err)
	}
	n.setEngine(e.Value(), e.Revision())
	return n, nil
}

// lastJudge returns what is noted of a run's judge, nil if nothing is.
func (s *Store) lastJudge(ctx context.Context, run string) (text []byte, err error) {
	err = each(ctx, s.js, JudgeStream, JudgeSubject(run), 1, func(m *jetstream.RawStreamMsg) error {
		text = m.Data
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", JudgeSubject(run), err)
	}
	return text, nil
}

// noteAll completes all manifests by notes.
func (s *Store) noteAll(ctx context.Context, runs []*Manifest) error {
	if s.engines == nil {
		return nil
	}
	all := make(map[string]*notes, len(runs))
	for _, m := range runs {
		all[m.ID] = new(notes)
	}
	err := each(ctx, s.js, JudgeStream, JudgeSubject("*"), 1, func(m *jetstream.RawStreamMsg) error {
		if n := all[strings.TrimPrefix(m.Subject, JudgeSubject(""))]; n != nil {
			n.setJudge(m.Data)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", JudgeStream, err)
	}
	err = s.values(ctx, s.engines, ">", 1, func(v value) error {
		if n := all[v.key]; n != nil {
			n.setEngine(v.Data, v.Sequence)
		}
		return nil
	})
	for _, m := range runs {
		all[m.ID].addTo(m)
	}
	return err
}

// Note lets change complete what a run's manifest says of its judge, for stage Evaluate, or of its engines,
// for stage Generate, until no one else's note gets in between. change may be called several times; it returns
// false to leave all as it is, which it must where a judge is noted already: that stands for good.
// What it changes beyond its stage is not kept.
func (s *Store) Note(ctx context.Context, stage stream.Stage, id string, change func(*Manifest) bool) (*Manifest, error) {
	if s.engines == nil { // the server is one of an earlier version
		return s.UpdateRun(ctx, id, change)
	}
	for {
		m, _, n, err := s.run(ctx, id)
		if err != nil {
			return nil, err
		}
		if !change(m) {
			return m, nil
		}
		if stage == stream.Evaluate {
			if fresh, err := s.noteJudge(ctx, m); fresh || err != nil {
				return m, err
			}
			continue
		}
		p := m.Provenance
		p.SandboxLevel, p.Environment, p.JudgeHost, p.JudgeSpeed = "", nil, "", 0
		switch _, err := put(ctx, s.conn, s.engines, id, p, n.revision); {
		case errors.Is(err, ErrChanged):
			continue
		case err != nil:
			return nil, err
		}
		return m, nil
	}
}

// noteJudge notes the environment of a run's judge. It reports false if there is a note by now.
func (s *Store) noteJudge(ctx context.Context, m *Manifest) (fresh bool, err error) {
	body, err := json.Marshal(judgeNote{m.Judge.Fingerprint, m.Provenance.SandboxLevel, m.Provenance.Environment, m.Provenance.JudgeHost, m.Provenance.JudgeSpeed})
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", JudgeSubject(m.ID), err)
	}
	_, err = link.Repeat(ctx, s.conn, func(ctx context.Context) (*jetstream.PubAck, error) {
		return s.js.PublishMsg(ctx, &nats.Msg{Subject: JudgeSubject(m.ID), Data: body},
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithExpectStream(JudgeStream))
	})
	if err == nil {
		return true, nil
	}
	if !wrongRevision(err) {
		return false, fmt.Errorf("write %s: %w", JudgeSubject(m.ID), err)
	}
	text, err := s.lastJudge(ctx, m.ID)
	if err != nil {
		return false, err
	}
	var n notes
	if n.setJudge(text); n.judge.Fingerprint == "" {
		return false, fmt.Errorf("read %s: %w\nremove what was put there: nats stream purge %s --subject %s", JudgeSubject(m.ID), ErrUnreadable, JudgeStream, JudgeSubject(m.ID))
	}
	return false, nil
}
