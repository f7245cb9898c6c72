package openai

// Waiting returns how many requests wait for an endpoint.
func (c *Client) Waiting() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return len(c.pool.waiting)
}
