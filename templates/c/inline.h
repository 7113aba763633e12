/* Vector code is specialised for its sizes; scalar code is left to the compiler. */
#if defined(__GNUC__) && LANES == 1
#define INLINE static inline __attribute__((unused))
#elif defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static inline
#endif
