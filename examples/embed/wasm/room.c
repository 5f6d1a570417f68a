/*
** Memory of the module that it leaves to its host: paths of calls, and what a grate puts into them.
*/
static char room[64 * 1024];

__attribute__((export_name("room"))) char *room_of_host(void) {
  return room;
}
