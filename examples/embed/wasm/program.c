/* An ordinary program: it knows nothing of cages. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  FILE *file = fopen("lencase-wasm.txt", "w");
  if (file == NULL) {
    perror("lencase-wasm.txt");
    return 1;
  }
  for (int i = 0; i < 1000; i++) fprintf(file, "line %d\n", i);
  fclose(file);
  if (write(1, (const void *)0xfffffff0, 8) < 0)
    printf("a pointer to nowhere: %s\n", strerror(errno));
  puts("written");
  return 0;
}
