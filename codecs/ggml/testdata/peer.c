// The peer of package ggml: llama.cpp's own functions on what comes through stdin, until it ends.
//
//	request   'q', 'd' or 't', then int32 type, rows, elements of a row, whether there are importances, then
//	          'q': float32 elements, float32 importances of one row;   'd': blocks
//	answer    uint8 whether llama.cpp would keep it, then 'q': blocks;   'd': float32 elements;
//	          't': of a type its name (16 bytes), int64 elements and bytes of a block
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ggml.h"

void dequantize_row_q8_K(const void * x, float * y, int64_t k); // exported, and not in ggml.h

static void take(void * p, size_t n) {
    if (fread(p, 1, n, stdin) != n) exit(2);
}

int main(void) {
    for (int op; (op = getchar()) != EOF;) {
        int32_t head[4];
        take(head, sizeof head);
        enum ggml_type type = head[0];
        if (op == 't') {
            struct { char name[16]; int64_t elements, bytes; } is = {.elements = 0};
            if (type < GGML_TYPE_COUNT && ggml_type_name(type)) {
                strncpy(is.name, ggml_type_name(type), sizeof is.name);
                is.elements = ggml_blck_size(type), is.bytes = ggml_type_size(type);
            }
            putchar(1);
            fwrite(&is, 1, sizeof is, stdout);
            fflush(stdout);
            continue;
        }
        int64_t rows = head[1], row = head[2];
        size_t plain = rows * row * sizeof(float), packed = rows * ggml_row_size(type, row);
        float * x = malloc(plain), * w = NULL;
        void * blocks = malloc(packed);
        if (op == 'q') {
            take(x, plain);
            if (head[3]) take(w = malloc(row * sizeof(float)), row * sizeof(float));
            ggml_quantize_chunk(type, x, blocks, 0, rows, row, w);
            putchar(ggml_validate_row_data(GGML_TYPE_F32, x, plain) && ggml_validate_row_data(type, blocks, packed));
            fwrite(blocks, 1, packed, stdout);
        } else {
            take(blocks, packed);
            if (type == GGML_TYPE_Q8_K) dequantize_row_q8_K(blocks, x, rows * row);
            else ggml_get_type_traits(type)->to_float(blocks, x, rows * row);
            putchar(1);
            fwrite(x, 1, plain, stdout);
        }
        fflush(stdout);
        free(x), free(w), free(blocks);
    }
}
