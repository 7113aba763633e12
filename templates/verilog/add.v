// y = (a << LA) + (b << LB), or minus. W: bits, S: signed. WY bits hold every sum that occurs.
module crystal_add #(
    parameter WA = 1, parameter SA = 0, parameter LA = 0,
    parameter WB = 1, parameter SB = 0, parameter LB = 0,
    parameter MINUS = 0, parameter WY = 1
) (
    input  wire [WA-1:0] a,
    input  wire [WB-1:0] b,
    output wire [WY-1:0] y
);
    localparam WAB = (WA + LA > WB + LB) ? WA + LA : WB + LB;
    localparam W = (WAB > WY) ? WAB : WY;
    wire [W:0] p = {{(W+1-WA){(SA != 0) & a[WA-1]}}, a} << LA;
    wire [W:0] q = {{(W+1-WB){(SB != 0) & b[WB-1]}}, b} << LB;
    wire [W:0] sum = (MINUS != 0) ? p - q : p + q;
    wire unused_top = &{1'b0, sum[W:WY]};
    assign y = sum[WY-1:0];
endmodule
