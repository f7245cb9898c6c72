package cli

import "strings"

// examples are the command lines that a verb's help shows, by the verb's words. Each verb has some.
var examples = map[string][]string{
	"run": {
		"lcbq run                                          # 12 built-in problems, a simulated model",
		"lcbq run --problems v6 --n 1000 -o out            # vLLM on every GPU of this machine",
		"lcbq run --problems v6 --endpoint http://127.0.0.1:8000/v1 -o out",
		"lcbq run --problems v6 --n 1000 -o out --detach   # then: lcbq status -o out --watch",
	},
	"server":          {"lcbq server --listen 0.0.0.0:4222 --store-dir /data/lcbq", "lcbq server init --store-dir /data/lcbq    # keys for tokens, once", "lcbq server --http 127.0.0.1:8222 --notify 'mail -s lcbq me@example.com'"},
	"token":           {"lcbq token --role evaluator --ttl 48h --store-dir /data/lcbq --to w.creds", "lcbq token --role viewer --from 10.0.0.0/8 --store-dir /data/lcbq > viewer.creds", "lcbq token --revoke w.creds --store-dir /data/lcbq"},
	"submit":          {"lcbq submit --nats nats://host:4222 --problems v6 --engine vllm --n 1000 -o out"},
	"generate":        {"lcbq generate --nats nats://host:4222", "lcbq generate --nats nats://host:4222 --endpoint http://gpu:8000/v1"},
	"evaluate":        {"lcbq evaluate -o out     # beside 'lcbq run -o out' of this user", "lcbq evaluate --nats nats://host:4222 --creds w.creds", "lcbq evaluate --nats nats://host:4222 --for 2h --until-idle 10m   # a rented box"},
	"combine":         {"lcbq combine --nats nats://host:4222"},
	"status":          {"lcbq status -o out", "lcbq status --nats nats://host:4222 --watch", "lcbq --json status -o out   # lcbq schema status"},
	"top":             {"lcbq top -o out", "lcbq top --nats nats://host:4222 --run r1"},
	"set":             {"lcbq set -o out evaluators=24", "lcbq set --nats nats://host:4222 --run r1 evaluators=24 --host box7", "lcbq set -o out evaluators=auto --host all"},
	"stop":            {"lcbq stop -o out        # what runs on this machine: the server too, if it is here", "lcbq stop --nats nats://host:4222 --now"},
	"runs":            {"lcbq runs --nats nats://host:4222"},
	"pause":           {"lcbq pause -o out", "lcbq pause --nats nats://host:4222 --run r1"},
	"resume":          {"lcbq resume -o out", "lcbq resume --nats nats://host:4222 --run r1"},
	"cancel":          {"lcbq cancel -o out", "lcbq cancel --nats nats://host:4222 --run r1"},
	"grade":           {"lcbq grade --problems v6 --completions completions.jsonl -o verdicts.jsonl"},
	"report":          {"lcbq report out", "lcbq report out --format csv -o -"},
	"compare":         {"lcbq compare out1 out2", "lcbq compare out1 out2 --format csv"},
	"export":          {"lcbq export out --format parquet"},
	"import":          {"lcbq import Scenario.codegeneration_10_0.2_eval_all.json -o out"},
	"schema":          {"lcbq schema", "lcbq schema run_summary"},
	"verify":          {"lcbq verify out", "lcbq verify out --recorded"},
	"dead list":       {"lcbq dead list --store-dir out/.lcbq"},
	"dead show":       {"lcbq dead show --store-dir out/.lcbq evaluate.r1.q0.t0_4.u0003"},
	"dead requeue":    {"lcbq dead requeue --store-dir out/.lcbq"},
	"dataset fetch":   {"lcbq dataset fetch v6"},
	"dataset info":    {"lcbq dataset info v6", "lcbq dataset info problems.jsonl"},
	"dataset show":    {"lcbq dataset show lcbq_a01"},
	"dataset example": {"lcbq dataset example"},
	"dataset check":   {"lcbq dataset check problems.jsonl"},
	"doctor":          {"lcbq doctor", "lcbq doctor -o out --python /opt/python/bin/python3"},
	"bench":           {"lcbq bench --gpus 8 --tps 100000", "lcbq bench --judge --save base.json", "lcbq bench --plan --n 10000 --slots 64 --timeouts 0.025"},
	"plan":            {"lcbq plan pilot --width 0.5 --k 1,10", "lcbq plan --world lcb --width 0.5 --tokens 600 --tps 20000 --gpus 8"},
	"version":         {"lcbq version"},

	"config init":       {"lcbq config init lcbq.toml"},
	"config show":       {"lcbq config show", "lcbq config show --config lcbq.toml"},
	"config check":      {"lcbq config check lcbq.toml"},
	"completion bash":   {"source <(lcbq completion bash)   # in ~/.bashrc"},
	"completion zsh":    {"source <(lcbq completion zsh)    # in ~/.zshrc, after compinit"},
	"completion fish":   {"lcbq completion fish | source    # in ~/.config/fish/config.fish"},
	"completion answer": {"lcbq completion answer -- status"},
}

// drains are the verbs that a signal ends in the middle of their work. They have an exit status
// for it.
const drains = " run generate evaluate combine status top grade stop bench "

// detail returns what a verb's help says besides its flags: examples and exit statuses.
func detail(verb string) string {
	statuses := []string{"0  done", "1  error", "2  usage: nothing was done"}
	if verb == "run" || verb == "grade" {
		statuses = append(statuses, "3  finished, but some samples could not be scored")
	}
	if strings.Contains(drains, " "+verb+" ") {
		statuses = append(statuses, "130  interrupted; what is in hand was finished or given back")
	}
	var b strings.Builder
	b.WriteString("Examples:\n\n")
	for _, e := range examples[verb] {
		b.WriteString("  " + e + "\n")
	}
	b.WriteString("\nExit status:\n\n")
	for _, s := range statuses {
		b.WriteString("  " + s + "\n")
	}
	return b.String()
}
