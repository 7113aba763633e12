/* Verdicts as sentences. */

#include "crystal.h"

const char *crystal_verdict(int32_t code)
{
    static const char *const sentences[] = {
        "the file is fine",
        "the file ends before its header does",
        "this is not a .crystal file",
        "this version of the format is not known",
        "the header does not fit its number of sections",
        "the file is not as long as its header says (truncated?)",
        "the header is damaged: its checksum differs",
        "a bit or byte that must be 0 is not",
        "the header has an unknown kind of model, kernel or weights",
        "a count is zero or too large",
        "two fields of the header contradict each other",
        "keys and values would need too much memory",
        "a section is not where it has to be",
        "the sections do not end where the file ends",
        "the file has a section that this version does not know and may not skip",
        "a section is there twice",
        "a section is missing",
        "the file has a section that this model does not have",
        "a section's type is not what the weight mode says",
        "a section has a layout that it cannot have",
        "a section's dimensions are not the model's",
        "a section's length does not follow from its dimensions",
        "a section is damaged: its checksum differs",
        "bytes between sections are not 0",
        "a weight is not finite or too large",
        "a temperature is one that the kernel cannot divide by",
        "the token table is inconsistent",
        "a merge is inconsistent",
        "rows that are stored more finely are not in order",
        "",
        "the file has version 2: crystalc upgrade makes version 3 of it",
        "the file cannot be read",
        "there is not enough memory",
    };
    const int32_t known = code >= 0 && code < (int32_t)(sizeof sentences / sizeof *sentences);
    return known && sentences[code][0] ? sentences[code] : "the file is refused";
}
