package openai

import "fmt"

// downAfter is after how many faults in a row an endpoint counts as down: the first ones are a restart or a cut
// connection.
const downAfter = 4

// Down returns why nothing can be generated now: all endpoints have failed several times in a row. It returns nil
// while one of them answers. Requests go on waiting meanwhile.
func (c *Client) Down() error {
	p := &c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.ends {
		if e.fails < downAfter || e.last == nil {
			return nil
		}
	}
	return fmt.Errorf("no answer from %s: %w", p.ends[0].shown, p.ends[0].last)
}
