// y = max(a, 0) of a signed a.
module crystal_relu #(parameter WA = 1, parameter WY = 1) (
    input  wire [WA-1:0] a,
    output wire [WY-1:0] y
);
    wire unused_top = &{1'b0, a[WA-1:WY]};
    assign y = a[WA-1] ? {WY{1'b0}} : a[WY-1:0];
endmodule
