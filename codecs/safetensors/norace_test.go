//go:build !race

package safetensors

const raced = false
