//go:build !amd64

package ggml

import "github.com/isomerfs/isomerfs/codecs/quant"

func (k *kernels) improve(quant.Tier) {}
