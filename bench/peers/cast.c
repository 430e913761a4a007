/*
 * cast SOURCE HEADER OUTPUT OFFSET [sync]: the floor of a conversion from float32 to float16.
 *
 * Writes the file HEADER to OUTPUT, then the float32 values of SOURCE from byte OFFSET to its end, rounded with the
 * processor's own instruction (F16C), 1 MiB of input at a time on one thread. With "sync" it ends with fsync. Prints the
 * seconds from the first open to the last close.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

static double seconds(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
	perror(what);
	exit(1);
}

static void write_all(int fd, const char *p, size_t n) {
	while (n > 0) {
		ssize_t k = write(fd, p, n);
		if (k < 0) fail("write");
		p += k;
		n -= (size_t)k;
	}
}

/* Reads up to n bytes at off; fewer only at the end of the file. */
static size_t read_at(int fd, char *p, size_t n, off_t off) {
	size_t got = 0;
	while (got < n) {
		ssize_t k = pread(fd, p + got, n - got, off + (off_t)got);
		if (k < 0) fail("read");
		if (k == 0) break;
		got += (size_t)k;
	}
	return got;
}

int main(int argc, char **argv) {
	if (argc < 5) {
		fprintf(stderr, "usage: cast SOURCE HEADER OUTPUT OFFSET [sync]\n");
		return 2;
	}
	float *in = aligned_alloc(4096, PIECE);
	uint16_t *half = aligned_alloc(4096, PIECE / 2);
	double start = seconds();
	int src = open(argv[1], O_RDONLY), head = open(argv[2], O_RDONLY);
	int dst = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (src < 0 || head < 0 || dst < 0) fail("open");
	off_t at = 0;
	for (size_t n; (n = read_at(head, (char *)in, PIECE, at)) > 0; at += (off_t)n) write_all(dst, (char *)in, n);
	at = strtoll(argv[4], NULL, 10);
	for (size_t n; (n = read_at(src, (char *)in, PIECE, at)) > 0; at += (off_t)n) {
		size_t count = n / 4, i = 0;
		for (; i + 8 <= count; i += 8)
			_mm_storeu_si128((__m128i *)(half + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
		for (; i < count; i++) half[i] = (uint16_t)_cvtss_sh(in[i], _MM_FROUND_TO_NEAREST_INT);
		write_all(dst, (char *)half, count * 2);
	}
	if (argc > 5 && strcmp(argv[5], "sync") == 0 && fsync(dst) < 0) fail("fsync");
	if (close(dst) < 0) fail("close");
	printf("%.9f\n", seconds() - start);
	return 0;
}
