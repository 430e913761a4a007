package main

import (
	"context"
)

func prune(ctx context.Context, dir string) (int64, error) { return 0, nil }
