package store

// BoundVerdicts sets how many bytes verdicts may take.
func (s *Store) BoundVerdicts(most uint64) { s.verdictMost = most }
