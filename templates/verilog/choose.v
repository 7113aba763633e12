// y = a where choice is 1, else b. W: bits, S: signed.
module crystal_choose #(
    parameter WA = 1, parameter SA = 0, parameter WB = 1, parameter SB = 0, parameter WY = 1
) (
    input  wire choice,
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire [WY-1:0] y
);
    wire [WY:0] p = {{(WY+1-WA){(SA != 0) & a[WA-1]}}, a};
    wire [WY:0] q = {{(WY+1-WB){(SB != 0) & b[WB-1]}}, b};
    wire [WY:0] wide = choice ? p : q;
    wire unused_top = &{1'b0, wide[WY]};
    assign y = wide[WY-1:0];
endmodule
