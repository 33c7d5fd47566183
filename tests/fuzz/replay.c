/*
 * replay.c - runs a fuzz target on files, and on all files of folders: for a
 * compiler that has no libFuzzer.
 *
 *   replay FILE-OR-FOLDER...
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)1 << 20)

static unsigned replayed;

static void fail(const char *path, const char *what)
{
	fprintf(stderr, "%s: %s\n", path, what);
	exit(EXIT_FAILURE);
}

/* The input lies in memory of its very size, so that a read beyond it shows. */
static void run(const char *path, const uint8_t *input, size_t size)
{
	uint8_t *copy = (uint8_t *)malloc(size + !size);

	if (!copy)
		fail(path, "out of memory");
	memcpy(copy, input, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	replayed++;
}

static void replay_file(const char *path)
{
	static uint8_t input[FILE_MAX];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file)
		fail(path, "cannot be read");
	size = fread(input, 1, sizeof(input), file);
	fclose(file);
	run(path, input, size);
}

static void replay_folder(const char *path)
{
	struct dirent *entry;
	char file[4096];
	DIR *dir = opendir(path);

	if (!dir)
		fail(path, "cannot be listed");
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		replay_file(file);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	struct stat st;
	int i;

	for (i = 1; i < argc; i++) {
		if (stat(argv[i], &st))
			fail(argv[i], "is not there");
		if (S_ISDIR(st.st_mode))
			replay_folder(argv[i]);
		else
			replay_file(argv[i]);
	}
	if (!replayed)
		fail(argv[0], "there was nothing to replay");
	printf("%s: %u inputs\n", argv[0], replayed);
	return EXIT_SUCCESS;
}
