// WORDS registers side by side, written one at a time from address BASE on. Reset leaves them.
module crystal_bank #(
    parameter WORDS = 1, parameter W = 1, parameter WADDRESS = 1, parameter BASE = 0,
    parameter [WORDS*W-1:0] INITIAL = 0
) (
    input  wire clk,
    input  wire write,
    input  wire [WADDRESS-1:0] address,
    input  wire [W-1:0] data,
    output reg  [WORDS*W-1:0] q
);
    initial q = INITIAL;
    genvar i;
    generate
        for (i = 0; i < WORDS; i = i + 1) begin : word
            localparam [31:0] MINE = BASE + i;
            always @(posedge clk)
                if (write & (address == MINE[WADDRESS-1:0])) q[i*W +: W] <= data;
        end
    endgenerate
endmodule
