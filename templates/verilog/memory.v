// One row of a table that its owner may rewrite, word by word from address BASE on.
module crystal_memory #(
    parameter WORDS = 2, parameter WI = 1, parameter W = 1, parameter WADDRESS = 1,
    parameter BASE = 0, parameter [WORDS*W-1:0] INITIAL = 0
) (
    input  wire clk,
    input  wire write,
    input  wire [WADDRESS-1:0] address,
    input  wire [W-1:0] data,
    input  wire [WI-1:0] index,
    output wire [W-1:0] y
);
    reg [W-1:0] store [0:WORDS-1];
    wire [31:0] offset = {{(32-WADDRESS){1'b0}}, address} - BASE;
    integer i;
    initial for (i = 0; i < WORDS; i = i + 1) store[i] = INITIAL[i*W +: W];
    always @(posedge clk) if (write & (offset < WORDS)) store[offset[WI-1:0]] <= data;
    assign y = store[index];
endmodule
