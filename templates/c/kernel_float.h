#define INPUT float
#define OUTPUT float
#define ACC vf
#define SPLAT vf
#define PACKED vf
#define ZERO vzero()
#define READ(p) vset1(*(p))
#define FIND find_f32
#define PLUS(a, b) vadd(a, b)
#define STORE(y, init, o, a) vstore((y) + (o), vadd(vbias(init, o), a))
