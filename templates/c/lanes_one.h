#define LANES 1
#define VNNI 0
