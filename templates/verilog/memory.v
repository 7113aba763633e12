// One row of a table that its owner may rewrite, word by word from address BASE on. Its 2**WB
// words are read by an index of WI <= WB bits.
module crystal_memory #(
    parameter WB = 1, parameter WI = 1, parameter W = 1, parameter WADDRESS = 1,
    parameter BASE = 0, parameter [(1<<WB)*W-1:0] INITIAL = 0
) (
    input  wire clk,
    input  wire write,
    input  wire [WADDRESS-1:0] address,
    input  wire [W-1:0] data,
    input  wire [WI-1:0] index,
    output wire [W-1:0] y
);
    localparam WORDS = 1 << WB;
    reg [W-1:0] store [0:WORDS-1];
    wire [WB:0] at = {{(WB+1-WI){1'b0}}, index};
    wire unused_top = &{1'b0, at[WB]};
    wire [31:0] offset = {{(32-WADDRESS){1'b0}}, address} - BASE;
    integer i;
    initial for (i = 0; i < WORDS; i = i + 1) store[i] = INITIAL[i*W +: W];
    always @(posedge clk) if (write & (offset < WORDS)) store[offset[WB-1:0]] <= data;
    assign y = store[at[WB-1:0]];
endmodule
