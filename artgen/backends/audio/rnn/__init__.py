"""``audio.rnn``: a recurrent network over the codes of a small neural codec."""
