package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lcbq/lcbq/cmd/internal/doctor"
	"github.com/lcbq/lcbq/cmd/internal/locate"
	"github.com/lcbq/lcbq/config"
	"github.com/lcbq/lcbq/worker/lcb/dataset"
)

// doctorCmd says what this machine can do.
type doctorCmd struct {
	config.Rules       `embed:"" group:"judging"`
	config.Interpreter `embed:"" group:"machine"`
	config.HubAddress  `embed:"" group:"hub"`
	config.Client      `embed:"" group:"server"`
	VLLM               string `name:"vllm" default:"vllm" placeholder:"PROGRAM" help:"the vllm to look for"`
	OutputDir          string `short:"o" default:"." type:"path" help:"folder whose disk to check"`
}

// Run checks what lcbq needs, and says what to do about each gap. It fails if
// the machine cannot judge at all, or a server that is named cannot be used.
func (c *doctorCmd) Run(a *app) error {
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	judging, err := sandboxConfig(c.Interpreter, judgeOf(c.Rules), a.log)
	if err != nil {
		return err
	}
	checks := []doctor.Check{
		doctor.Processors(), doctor.Memory("/"), doctor.OpenFiles(), doctor.Clock(time.Now), doctor.Disk(c.OutputDir),
		doctor.Queue(), doctor.Port(loopback(), defaultPort), doctor.Judging(judging), doctor.GPUs(), doctor.VLLM(c.VLLM),
		doctor.Hub(cmp.Or(c.HFEndpoint, dataset.DefaultEndpoint), c.HFOffline),
	}
	if c.NATS != "" {
		checks = append(checks, doctor.Server(c.dial(a)))
	}
	findings, err := doctor.Examine(a.ctx, checks...)
	if a.json {
		return errors.Join(a.printJSON(findings), err)
	}
	return errors.Join(doctor.Write(a.out, findings), err)
}

// dial connects to the named server and makes nothing on it.
func (c *doctorCmd) dial(a *app) func(ctx context.Context) (jetstream.JetStream, string, func(), error) {
	return func(ctx context.Context) (jetstream.JetStream, string, func(), error) {
		cfg, err := c.Resolved()
		if err != nil {
			return nil, "", nil, err
		}
		conn, _, err := dial(ctx, locate.ByAddress(cfg.NATS, ""), cfg, "doctor", a.log)
		if err != nil {
			return nil, "", nil, err
		}
		js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(apiWait))
		if err != nil {
			conn.Close()
			return nil, "", nil, err
		}
		return js, config.Redact(conn.ConnectedUrl()), conn.Close, nil
	}
}
